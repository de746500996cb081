// Who may ask the admin server: nobody whom a page of another site has sent, and where there is a token only
// who has it.

import { createHash, timingSafeEqual } from "node:crypto";
import type http from "node:http";
import { isIPv4 } from "node:net";
import type { AdminConfig } from "../config/schema.ts";
import { type Answer, refusal } from "./answer.ts";
import { isDashboardFile } from "./dashboard-files.ts";

/** Open without a token: orchestrators probe them. */
const OPEN_PATHS = new Set(["/healthz", "/readyz"]);

/** A subprotocol by which a browser, which can set no header of a WebSocket, presents the token. */
const TOKEN_PROTOCOL = /^weir\.token\.([A-Za-z0-9_-]+)$/;

interface Verdict {
  /** Null where the request may go on; else what it is answered with, 403 or 401. */
  readonly denied: Answer | null;
  /** A token was presented, and it is not the right one. */
  readonly isGuess: boolean;
}

export function judge(request: http.IncomingMessage, path: string, config: AdminConfig): Verdict {
  const foreign = foreignSite(request, config.hosts);
  if (foreign !== null) return { denied: refusal(403, "forbidden", foreign), isGuess: false };
  if (config.token === null || isOpen(path, config)) return { denied: null, isGuess: false };
  const token = tokenOf(request);
  const isGuess = token !== null && !isEqual(token, config.token);
  if (token !== null && !isGuess) return { denied: null, isGuess };
  const message = isGuess ? "the token is not the right one" : "a bearer token is required";
  return { denied: refusal(401, "unauthorized", message, { "WWW-Authenticate": "Bearer" }), isGuess };
}

/** The subprotocol that carries a token, which the 101 has to select; undefined where none does. */
export function tokenProtocol(offered: Iterable<string>): string | undefined {
  return [...offered].find((protocol) => TOKEN_PROTOCOL.test(protocol));
}

/**
 * DNS rebinding brings a foreign Host, a page of another site a foreign Origin, or where a browser sends none, as
 * with some forms, Sec-Fetch-Site. Null where there is none of them.
 */
function foreignSite(request: http.IncomingMessage, hosts: readonly string[]): string | null {
  const { method = "", headers, headersDistinct } = request;
  const [host, ...more] = headersDistinct["host"] ?? [];
  if (host === undefined || more.length > 0) return "there has to be one Host";
  if (!isOwnHost(host, hosts)) return "the Host is neither loopback nor in admin.hosts";
  const { origin } = headers;
  const isOwn = origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
  if (!isOwn) return "the Origin is not the admin server's own";
  const site = headers["sec-fetch-site"] ?? "none";
  // A link to the dashboard may be on any page.
  const isLook = method === "GET" || method === "HEAD";
  return isLook || OWN_SITES.has(site) ? null : "the request comes from a page of another site";
}

/** Of Sec-Fetch-Site: the second is what nobody but the user has begun. */
const OWN_SITES = new Set(["same-origin", "none"]);

/** A name or an address, and a port. */
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(?::\d{0,5})?$/i;

function isOwnHost(host: string, hosts: readonly string[]): boolean {
  const name = HOST.exec(host)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const isLoopback = name === "localhost" || name === "[::1]" || (isIPv4(name) && name.startsWith("127."));
  return isLoopback || hosts.includes(name);
}

function isOpen(path: string, { anonymous }: AdminConfig): boolean {
  // The dashboard itself asks for the token.
  return (
    OPEN_PATHS.has(path) || isDashboardFile(path) || (path === "/metrics" && anonymous.includes("metrics"))
  );
}

/** Its bytes; null where none is presented. */
function tokenOf({ headers }: http.IncomingMessage): Buffer | null {
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1];
  // Node reads each byte of a header as one character.
  if (bearer !== undefined) return Buffer.from(bearer, "latin1");
  if (headers.upgrade === undefined) return null;
  const offered = (headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  const encoded = TOKEN_PROTOCOL.exec(tokenProtocol(offered) ?? "")?.[1];
  return encoded === undefined ? null : Buffer.from(encoded, "base64url");
}

/** In a time that tells nothing of the right one: hashing first makes both sides equally long. */
function isEqual(given: Buffer, right: string): boolean {
  return timingSafeEqual(digest(given), digest(Buffer.from(right)));
}

function digest(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
