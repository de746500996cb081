// Weir's own cookie, by which a client comes back to its backend in a pool with `affinity: { by: cookie }`.
// Which backend a value stands for, the control plane knows.

import type { IncomingMessage } from "node:http";
import type { Config } from "../config/schema.ts";
import type { Grant } from "../shared-memory/channel.ts";
import { joinedHeader } from "../ws/handshake.ts";
import { cookieValue } from "./cookies.ts";
import type { Client } from "./identify.ts";
import { isSecure } from "./secure-socket.ts";

/** Characters of base64url, and few: what else comes was not made by us. */
const VALUE = /^[\w-]{1,64}$/;

/** Of all pools: a browser sends each pool's cookie to all that share its host. */
export function affinityCookieNames({ pools }: Pick<Config, "pools">): ReadonlySet<string> {
  const names = Object.keys(pools).filter((pool) => pools[pool]?.affinity.by === "cookie");
  return new Set(names.map(affinityCookieName));
}

/**
 * What the client sends back; null where it sends none, or where the pool has none.
 *
 * @param names of the pools' cookies
 */
export function affinityCookie(
  { headers }: Pick<IncomingMessage, "headers">,
  pool: string,
  names: ReadonlySet<string>,
): string | null {
  const name = affinityCookieName(pool);
  if (headers.cookie === undefined || !names.has(name)) return null;
  const value = cookieValue(headers.cookie, name);
  return value !== null && VALUE.test(value) ? value : null;
}

/** The value of the `Set-Cookie` line that a grant asks for; null for none. */
export function affinitySetCookie(
  { pool, cookie }: Pick<Grant, "pool" | "cookie">,
  request: IncomingMessage,
  { isPeerTrusted }: Pick<Client, "isPeerTrusted">,
): string | null {
  if (cookie === null) return null;
  const line = `${affinityCookieName(pool)}=${cookie}; Path=/; HttpOnly; SameSite=Lax`;
  return isByTls(request, isPeerTrusted) ? `${line}; Secure` : line;
}

/**
 * Whether the client speaks TLS, with us or with the trusted proxy in front. Where several values disagree
 * it does not: a browser without TLS would not keep the cookie.
 */
function isByTls({ socket, rawHeaders }: IncomingMessage, isPeerTrusted: boolean): boolean {
  if (isSecure(socket)) return true;
  // Some proxies name the protocol of a WebSocket.
  return isPeerTrusted && /^(?:https|wss)$/i.test(joinedHeader(rawHeaders, "x-forwarded-proto") ?? "");
}

/** The cookie's name; that of a pool has only characters which a cookie's may have (RFC 6265 §4.1.1). */
function affinityCookieName(pool: string): string {
  return `weir-${pool}`;
}
