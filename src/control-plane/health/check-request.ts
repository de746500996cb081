// What the checks that send a request have in common: where it goes, and how a backend can tell it.

import { packageVersion } from "../../version.ts";
import type { CheckTarget } from "./open-socket.ts";

const USER_AGENT = `weir-health-check/${packageVersion()}`;

/** The check's path below the path of the backend's URL, as the relay does it; another port has its own root. */
export function checkUrl({ check, config }: CheckTarget): URL {
  const { secure, host, port, socketPath, basePath } = config.target;
  const name = socketPath !== null ? "localhost" : host.includes(":") ? `[${host}]` : host;
  const url = new URL(`${secure ? "https" : "http"}://${name}`);
  if (socketPath === null) url.port = String(check.port ?? port);
  url.pathname = check.port === null ? basePath + check.path : check.path;
  return url;
}

/** Names in lower case; the configured ones have the last word. */
export function checkHeaders({ check }: CheckTarget): Record<string, string> {
  return { "user-agent": USER_AGENT, ...check.headers };
}
