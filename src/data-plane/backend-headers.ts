// The head of the request to the backend: the client's own header lines in their order and case,
// without what concerns only the hop to us, and with what the backend should know of the client.

import type { RouteConfig } from "../config/schema.ts";
import { withoutCookies } from "./cookies.ts";
import type { DialTarget } from "./dial-target.ts";
import { isHopByHop, namedInConnection } from "./hop-by-hop.ts";
import type { Client } from "./identify.ts";
import { headerSpelling } from "./identity-value.ts";
import type { RequestTarget } from "./routes.ts";

/** Set by us alone: nobody else may claim them. */
const OWN = new Set(["x-weir-user", "x-weir-tier"]);

const FORWARDED = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"] as const;

export interface ForwardedRequest {
  readonly rawHeaders: readonly string[];
  readonly client: Client;
  readonly route: RouteConfig;
  readonly target: RequestTarget;
  readonly dialTarget: DialTarget;
  readonly isSecure: boolean;
  /** Port that the client reached us on. */
  readonly localPort: number;
  /** Passed on from trusted peers only; lower case, `-` for `_`. */
  readonly trustedHeaders: ReadonlySet<string>;
  /** Names of Weir's own cookies, which are not passed on. */
  readonly ownCookies: ReadonlySet<string>;
  readonly requestId: string;
}

/** Name, value, name, value …, without Connection and Upgrade, which the kind of request decides. */
export function backendHeaders(request: ForwardedRequest): string[] {
  const { rawHeaders, client, route, trustedHeaders, ownCookies } = request;
  const named = namedInConnection(rawHeaders);
  const forwarded = new Map<string, string>();
  const headers: string[] = ["Host", hostFor(request)];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    const lower = name.toLowerCase();
    // Backends that see headers as variables (CGI, WSGI, PHP) cannot tell `X_Weir_User` from ours.
    const alike = lower.includes("_") ? lower.replaceAll("_", "-") : lower;
    if (lower === "host" || lower === "x-request-id" || isHopByHop(lower) || OWN.has(alike)) continue;
    if (named.has(lower)) continue;
    if (alike.startsWith("x-forwarded-") || trustedHeaders.has(alike)) {
      if (!client.isPeerTrusted) continue;
      if ((FORWARDED as readonly string[]).includes(lower)) {
        const before = forwarded.get(lower);
        forwarded.set(lower, before === undefined ? value : `${before}, ${value}`);
        continue;
      }
    }
    const passed = lower === "cookie" ? withoutCookies(value, ownCookies) : value;
    if (passed !== null) headers.push(name, passed);
  }
  appendForwarded(headers, forwarded, request);
  headers.push("X-Request-Id", request.requestId);
  headers.push("X-Weir-User", headerSpelling(client.user), "X-Weir-Tier", client.tier);
  return withRouteHeaders(headers, route.headers);
}

/** The path that the backend is asked for: its own prefix before the client's path. */
export function backendPath(route: RouteConfig, target: RequestTarget, dialTarget: DialTarget): string {
  let path = target.rawPath;
  const prefix = route.stripPrefix;
  if (prefix !== null && path.startsWith(prefix)) {
    const rest = path.slice(prefix.length);
    if (rest === "" || rest.startsWith("?")) path = `/${rest}`;
    else if (rest.startsWith("/")) path = rest;
  }
  return dialTarget.config.target.basePath + path;
}

/** The Host that the backend would be asked for by itself. */
export function backendHost({ config }: DialTarget): string {
  const { host, port, secure, socketPath } = config.target;
  if (socketPath !== null) return "localhost";
  const name = host.includes(":") ? `[${host}]` : host;
  return port === (secure ? 443 : 80) ? name : `${name}:${port}`;
}

function hostFor({ route, target, dialTarget, rawHeaders }: ForwardedRequest): string {
  const set = route.headers.set["host"];
  if (set !== undefined) return set;
  if (route.hostHeader === "backend") return backendHost(dialTarget);
  return target.authority ?? headerValue(rawHeaders, "host");
}

function headerValue(rawHeaders: readonly string[], name: string): string {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) return rawHeaders[i + 1] ?? "";
  }
  return "";
}

function appendForwarded(
  headers: string[],
  received: ReadonlyMap<string, string>,
  { client, isSecure, localPort, rawHeaders, target }: ForwardedRequest,
): void {
  const before = received.get("x-forwarded-for");
  const peer = client.peer === "" ? "unix:" : client.peer;
  const host = target.authority ?? headerValue(rawHeaders, "host");
  headers.push("X-Forwarded-For", before === undefined ? peer : `${before}, ${peer}`);
  headers.push("X-Forwarded-Proto", received.get("x-forwarded-proto") ?? (isSecure ? "https" : "http"));
  headers.push("X-Forwarded-Host", received.get("x-forwarded-host") ?? host);
  headers.push("X-Forwarded-Port", received.get("x-forwarded-port") ?? String(localPort));
}

/** The operator's own lines have the last word; the Host is `hostFor`'s business. */
function withRouteHeaders(headers: string[], { set, remove }: RouteConfig["headers"]): string[] {
  const added = Object.entries(set).filter(([name]) => name !== "host");
  if (added.length === 0 && remove.length === 0) return headers;
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const lower = (headers[i] ?? "").toLowerCase();
    if (lower !== "host" && (remove.includes(lower) || Object.hasOwn(set, lower))) continue;
    kept.push(headers[i] ?? "", headers[i + 1] ?? "");
  }
  return [...kept, ...added.flat()];
}
