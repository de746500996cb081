// Answers a listener's `healthPath` as the admin server answers /readyz: for load balancers in front, which
// see the traffic port only. It comes before all rules: a prober has no user, and need not be let in.

import type http from "node:http";
import type { AdmissionDesk } from "./admission-desk.ts";
import type { ListenerSettings } from "./listener-settings.ts";
import type { RequestTarget } from "./routes.ts";

/** As the path is written: one that only decodes to it goes the way of all others. */
export function isHealthRequest(
  { method }: http.IncomingMessage,
  { rawPath }: RequestTarget,
  { config }: ListenerSettings,
): boolean {
  const { healthPath } = config;
  if (healthPath === null || !rawPath.startsWith(healthPath)) return false;
  const rest = rawPath.slice(healthPath.length);
  return (rest === "" || rest.startsWith("?")) && (method === "GET" || method === "HEAD");
}

/** 200 or 503; `?pool=NAME` asks for a backend of that pool as well. */
export async function answerHealth(
  desk: AdmissionDesk,
  { rawPath }: RequestTarget,
  response: http.ServerResponse,
  persistence: "close" | "keep-alive",
): Promise<void> {
  const [, query = ""] = rawPath.split("?", 2);
  const isReady = await desk.isReady(new URLSearchParams(query).get("pool"));
  response.writeHead(isReady ? 200 : 503, {
    "Content-Type": "text/plain",
    "Cache-Control": "no-store",
    Connection: persistence,
  });
  response.end(isReady ? "ready\n" : "not ready\n");
}
