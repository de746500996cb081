// Where in a request a token may be, and the request without it: a token in the query or among the
// subprotocols was meant for us, and would else stand in the backend's logs.

import type { IncomingMessage } from "node:http";
import type { TokenSource } from "../../config/schema-identity.ts";
import { joinedHeader, parseTokenList } from "../../ws/handshake.ts";
import { cookieValues } from "../cookies.ts";
import { queryOf, type RequestTarget } from "../routes.ts";

/** The subprotocol that the token follows, since a browser's script can set nothing else of an upgrade. */
export const TOKEN_PROTOCOL = "bearer";

/** `unclear`: something is there that is no token, or two of them. */
export type TokenSearch =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "unclear"; readonly message: string };

const NONE: TokenSearch = { kind: "none" };

/** RFC 6750 §2.1. */
const BEARER = /^bearer +([\w\-.~+/]+=*)$/i;

type Head = Pick<IncomingMessage, "rawHeaders" | "headers" | "url">;

/** The first place with anything in it counts, whatever the others hold. */
export function findToken(places: readonly TokenSource[], request: Head): TokenSearch {
  for (const place of places) {
    const search = lookInto(place, request);
    if (search.kind !== "none") return search;
  }
  return NONE;
}

function lookInto({ kind, name }: TokenSource, { rawHeaders, headers, url = "" }: Head): TokenSearch {
  switch (kind) {
    case "bearer":
      return inAuthorization(joinedHeader(rawHeaders, "authorization") ?? "");
    case "query":
      return inQuery(new URLSearchParams(queryOf(url)).getAll(name));
    case "cookie":
      return inCookies([...cookieValues(headers.cookie ?? "", name)]);
    case "subprotocol":
      return inProtocols(joinedHeader(rawHeaders, "sec-websocket-protocol"));
    default:
      return kind satisfies never;
  }
}

/** Other schemes, such as Basic, are the backend's business, unless a token stands behind one. */
function inAuthorization(value: string): TokenSearch {
  if (!/(?:^|,)\s*bearer(?:[\s,]|$)/i.test(value)) return NONE;
  const token = BEARER.exec(value)?.[1];
  if (token === undefined)
    return { kind: "unclear", message: "the authorization header holds no single token" };
  return { kind: "token", token };
}

/** Which of two a backend would read, nobody knows. */
function inQuery(values: readonly string[]): TokenSearch {
  if (values.length > 1) return { kind: "unclear", message: "the query holds more than one token" };
  return found(values[0]);
}

/** A browser may have several of a name, for several paths: as long as they are the same, none can be mistaken. */
function inCookies(values: readonly (string | null)[]): TokenSearch {
  const tokens = new Set(values.filter((value) => value !== ""));
  if (tokens.size > 1) return { kind: "unclear", message: "the cookies hold more than one token" };
  if (tokens.has(null)) return { kind: "unclear", message: "the cookie holds no token" };
  const [token] = tokens;
  return found(token);
}

function inProtocols(value: string | undefined): TokenSearch {
  const protocols = parseTokenList(value ?? "") ?? [];
  const at = protocols.indexOf(TOKEN_PROTOCOL);
  if (at === -1) return NONE;
  const token = protocols[at + 1];
  if (token === undefined) return { kind: "unclear", message: "no token follows the subprotocol bearer" };
  return { kind: "token", token };
}

/** A value that was emptied, as at a log-out, is none. */
function found(token: string | null | undefined): TokenSearch {
  return token === null || token === undefined || token === "" ? NONE : { kind: "token", token };
}

/** The subprotocols without a token's two. */
export function withoutTokenProtocols(protocols: readonly string[]): string[] {
  const at = protocols.indexOf(TOKEN_PROTOCOL);
  return at === -1 ? [...protocols] : protocols.toSpliced(at, 2);
}

/** What of a request goes on to the backend. */
export interface ForwardedHead {
  readonly rawHeaders: readonly string[];
  readonly target: RequestTarget;
}

/** Takes the token out of every place in the query and the subprotocols, also where it was not the first. */
export function withoutTokens(places: readonly TokenSource[], head: ForwardedHead): ForwardedHead {
  let { rawHeaders } = head;
  let { rawPath } = head.target;
  for (const { kind, name } of places) {
    if (kind === "subprotocol") rawHeaders = withoutProtocolToken(rawHeaders);
    if (kind === "query") rawPath = withoutParameter(rawPath, name);
  }
  return { rawHeaders, target: { ...head.target, rawPath } };
}

function withoutProtocolToken(rawHeaders: readonly string[]): readonly string[] {
  const protocols = parseTokenList(joinedHeader(rawHeaders, "sec-websocket-protocol") ?? "") ?? [];
  const kept = withoutTokenProtocols(protocols);
  if (kept.length === protocols.length) return rawHeaders;
  const headers = withoutHeader(rawHeaders, "sec-websocket-protocol");
  return kept.length === 0 ? headers : [...headers, "Sec-WebSocket-Protocol", kept.join(", ")];
}

function withoutHeader(rawHeaders: readonly string[], name: string): string[] {
  const isNamed = (i: number): boolean => rawHeaders[i - (i % 2)]?.toLowerCase() === name;
  return rawHeaders.filter((_, i) => !isNamed(i));
}

/** All else stays as the client wrote it. */
function withoutParameter(rawPath: string, name: string): string {
  const start = rawPath.indexOf("?");
  if (start === -1) return rawPath;
  const pieces = rawPath.slice(start + 1).split("&");
  const kept = pieces.filter((piece) => !new URLSearchParams(piece).has(name));
  if (kept.length === pieces.length) return rawPath;
  return rawPath.slice(0, start) + (kept.length === 0 ? "" : `?${kept.join("&")}`);
}
