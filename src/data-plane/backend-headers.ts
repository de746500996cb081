// The head of the request to the backend: the client's own header lines in their order and case,
// without what concerns only the hop to us, and with what the backend should know of the client.

import type { RouteConfig } from "../config/schema.ts";
import { joinedHeader } from "../ws/handshake.ts";
import { withoutCookies } from "./cookies.ts";
import type { DialTarget } from "./dial-target.ts";
import { headerAlias } from "./header-alias.ts";
import { isHopByHop, namedInConnection } from "./hop-by-hop.ts";
import type { Client } from "./identify.ts";
import { headerSpelling } from "./identity-value.ts";
import type { RequestTarget } from "./routes.ts";

/** Set by us alone: nobody else may claim them. */
const OWN = new Set(["x-weir-user", "x-weir-tier"]);

/** Said anew, or answered by us: `Expect` by the listener, long before a backend sees the request. */
const REPLACED = new Set(["host", "expect", "x-request-id"]);

/** Those of `forwardedHeaders`. */
const FORWARDED = new Set(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]);

/** How a request reached us. */
export interface ForwardedHop {
  readonly rawHeaders: readonly string[];
  readonly client: Pick<Client, "peer" | "isPeerTrusted">;
  readonly target: RequestTarget;
  readonly isSecure: boolean;
  /** Port that the client reached us on. */
  readonly localPort: number;
}

export interface ForwardedRequest extends ForwardedHop {
  readonly client: Client;
  readonly route: RouteConfig;
  readonly dialTarget: DialTarget;
  /** Passed on from trusted peers only; by `headerAlias`. */
  readonly trustedHeaders: ReadonlySet<string>;
  /** Names of Weir's own cookies, which are not passed on. */
  readonly ownCookies: ReadonlySet<string>;
  readonly requestId: string;
}

/** Name, value, name, value …, without Connection and Upgrade, which the kind of request decides. */
export function backendHeaders(request: ForwardedRequest): string[] {
  const { rawHeaders, client, route, trustedHeaders, ownCookies } = request;
  const named = namedInConnection(rawHeaders);
  const headers: string[] = ["Host", hostFor(request)];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    const lower = name.toLowerCase();
    const alike = headerAlias(lower);
    if (REPLACED.has(alike) || isHopByHop(lower) || OWN.has(alike)) continue;
    if (named.has(lower)) continue;
    if (alike.startsWith("x-forwarded-") || trustedHeaders.has(alike)) {
      if (!client.isPeerTrusted || FORWARDED.has(alike)) continue;
    }
    const passed = lower === "cookie" ? withoutCookies(value, ownCookies) : value;
    if (passed !== null) headers.push(name, passed);
  }
  headers.push(...forwardedHeaders(request));
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

/** Where the request comes from: what a trusted peer says of it is extended, what another says replaced. */
export function forwardedHeaders({
  rawHeaders,
  client,
  target,
  isSecure,
  localPort,
}: ForwardedHop): string[] {
  const named = namedInConnection(rawHeaders);
  const received = (name: string): string | undefined =>
    client.isPeerTrusted && !named.has(name) ? joinedHeader(rawHeaders, name) : undefined;
  const before = received("x-forwarded-for");
  const peer = client.peer === "" ? "unix:" : client.peer;
  const host = target.authority ?? headerValue(rawHeaders, "host");
  return [
    "X-Forwarded-For",
    before === undefined ? peer : `${before}, ${peer}`,
    "X-Forwarded-Proto",
    received("x-forwarded-proto") ?? (isSecure ? "https" : "http"),
    "X-Forwarded-Host",
    received("x-forwarded-host") ?? host,
    "X-Forwarded-Port",
    received("x-forwarded-port") ?? String(localPort),
  ];
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
