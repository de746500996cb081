// Finds the route of a request by host and path. Patterns are compiled once per configuration.

import { isIP } from "node:net";
import type { RouteConfig } from "../config/schema.ts";
import { Refusal } from "../errors.ts";

/** Where a request is aimed at, decoded once and compared from here on. */
export interface RequestTarget {
  /** Without port and the dot that a name may end with, lower case; empty where the client sent none. */
  readonly host: string;
  /** Percent-decoded, without `.` segments and the query; for matching only. */
  readonly path: string;
  /** Path and query as the client wrote them; what the backend is asked for. */
  readonly rawPath: string;
  /** Host and port of a target in absolute form, which then count instead of the Host header; else null. */
  readonly authority: string | null;
}

/**
 * An address in brackets or labels of unreserved characters (RFC 3986 §3.2.2), and a port. A name could hold
 * escapes and `!$&'()*+,;=` too: no server has such a name, and a backend would read `%61dmin` as `admin`.
 */
const HOST = /^(?:\[([\da-f:.]+)\]|([\w~-]+(?:\.[\w~-]+)*)\.?)(?::\d{0,5})?$/i;

/** What URL parsers read as an IPv4 address, in any of its spellings: its last label is a number. */
const NUMERIC = /(?:^|\.)(?:\d+|0x[\da-f]*)$/;

/** Nobody encodes a path more often; to decode it to the end would let a long one cost its length squared. */
const MAX_ENCODINGS = 4;

/** Segments that servers resolve, also those that cut `;x` off a segment first. */
const DOTS = /(?:^|\/)(?:\.\.(?:[/;]|$)|\.;)/;

type Matcher = (text: string) => boolean;

export class Routes {
  readonly #routes: readonly {
    readonly config: RouteConfig;
    readonly matchesHost: Matcher;
    readonly matchesPath: Matcher;
  }[];

  constructor(routes: readonly RouteConfig[]) {
    this.#routes = routes.map((config) => ({
      config,
      matchesHost: config.match.host === null ? matchesAny : hostMatcher(config.match.host),
      matchesPath: config.match.path === null ? matchesAny : pathMatcher(config.match.path),
    }));
  }

  /** The route of this id; undefined where a reload took it away. */
  find(id: string): RouteConfig | undefined {
    return this.#routes.find(({ config }) => config.id === id)?.config;
  }

  /** The first route that matches. Throws Refusal `no_route`. */
  match(target: RequestTarget): RouteConfig {
    const route = this.#routes.find(
      ({ matchesHost, matchesPath }) => matchesHost(target.host) && matchesPath(target.path),
    );
    if (route !== undefined) return route.config;
    throw new Refusal("no_route");
  }
}

/**
 * Reads the request line's target, in origin form or absolute form (RFC 9112 §3.2.2: its authority
 * then replaces the Host header). Throws Refusal `bad_request` for anything else, for undecodable
 * escapes, for a malformed host, and for what servers read in different ways: a `..` segment, a backslash,
 * a fragment, a NUL. With them a path could pass by a route and reach what that route guards.
 *
 * @param hostHeader empty where there is none, as in HTTP/1.0
 */
export function parseTarget(url: string, hostHeader: string): RequestTarget {
  let rawPath = url;
  let authority: string | null = null;
  if (!url.startsWith("/")) {
    const absolute = /^(?:https?|wss?):\/\/([^/?#]*)(.*)$/i.exec(url);
    if (absolute === null) throw new Refusal("bad_request", { message: "the request target is not a path" });
    authority = absolute[1] ?? "";
    rawPath = absolute[2] ?? "";
    if (!rawPath.startsWith("/")) rawPath = `/${rawPath}`;
  }
  const query = rawPath.indexOf("?");
  const written = query === -1 ? rawPath : rawPath.slice(0, query);
  if (rawPath.includes("#"))
    throw new Refusal("bad_request", { message: "the request target has a fragment" });
  const path = decodePath(written);
  checkPath(path.includes("%") ? decodeOften(path) : path);
  const host = authority === null && hostHeader === "" ? "" : hostName(authority ?? hostHeader);
  return { host, path: withoutDots(path), rawPath, authority };
}

/** What becomes of the ASCII in a path with servers that decode it again. Throws Refusal `bad_request`. */
function decodeOften(decodedOnce: string): string {
  let path = decodedOnce;
  for (let times = 1; times <= MAX_ENCODINGS; times++) {
    const before = path;
    path = before.replaceAll(/%[0-7][\da-f]/gi, (escape) =>
      String.fromCharCode(parseInt(escape.slice(1), 16)),
    );
    if (path === before) return path;
  }
  throw new Refusal("bad_request", { message: `the path is encoded more than ${MAX_ENCODINGS} times` });
}

/** Throws Refusal `bad_request`. */
function checkPath(decoded: string): void {
  if (decoded.includes("\\")) throw new Refusal("bad_request", { message: "the path has a backslash" });
  if (DOTS.test(decoded)) throw new Refusal("bad_request", { message: "the path has a .. segment" });
  if (decoded.includes("\0")) throw new Refusal("bad_request", { message: "the path has a NUL" });
}

/** With its `?`; without a fragment. */
export function queryOf(url: string): string {
  const [target = ""] = url.split("#", 1);
  const start = target.indexOf("?");
  return start === -1 ? "" : target.slice(start);
}

/** A `.` segment means nothing, and many servers take it out: a route must not be passed by with one. */
function withoutDots(path: string): string {
  return path.includes("/.") ? path.replaceAll(/\/\.(?=\/)/g, "").replace(/\/\.$/, "/") : path;
}

function decodePath(path: string): string {
  if (!path.includes("%")) return path;
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new Refusal("bad_request", { message: "the path has an escape that is no UTF-8", cause });
  }
}

/**
 * Host without port, brackets kept off, lower case. `example.com.` is the same name, written as DNS has it.
 * Throws Refusal `bad_request`.
 */
function hostName(authority: string): string {
  const [match, address, name = ""] = HOST.exec(authority.toLowerCase()) ?? [];
  if (match === undefined || (address !== undefined && isIP(address) !== 6)) {
    throw new Refusal("bad_request", { message: "the host is malformed" });
  }
  return canonicalHost(address ?? name);
}

/** An address as URL parsers write it: `127.1` and `0x7f000001` are `127.0.0.1`. A name is as it is. */
function canonicalHost(host: string): string {
  const isV6 = host.includes(":");
  if (!isV6 && (!NUMERIC.test(host) || isIP(host) === 4)) return host;
  return (
    URL.parse(isV6 ? `http://[${host}]/` : `http://${host}/`)?.hostname.replace(/^\[(.*)\]$/, "$1") ?? host
  );
}

function matchesAny(): boolean {
  return true;
}

/**
 * In a host, `*` stands for exactly one label; a dot at its end is none. An IPv6 address is written in brackets in the pattern, and
 * without them in what is compared.
 */
export function hostMatcher(pattern: string): Matcher {
  const labels = canonicalHost(pattern.toLowerCase().replace(/^\[(.*)\]$|\.$/, "$1")).split(".");
  return (host) => {
    const parts = host.split(".");
    return (
      parts.length === labels.length &&
      labels.every((label, i) => matchesWildcard(label.split("*"), parts[i] ?? "") && parts[i] !== "")
    );
  };
}

/** In a path, `*` stands for any characters; a trailing slash-star matches without the slash too. */
function pathMatcher(pattern: string): Matcher {
  const pieces = pattern.split("*");
  const bare = pattern.endsWith("/*") ? pattern.slice(0, -2).split("*") : null;
  return (path) => matchesWildcard(pieces, path) || (bare !== null && matchesWildcard(bare, path));
}

/**
 * Whether `text` is `pieces` in order with anything in between. Taking each piece at its first place is
 * enough, which makes this linear in the text: a hostile path cannot make a pattern backtrack.
 */
function matchesWildcard(pieces: readonly string[], text: string): boolean {
  const first = pieces[0] ?? "";
  if (pieces.length === 1) return text === first;
  const last = pieces.at(-1) ?? "";
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at);
    if (found === -1) return false;
    at = found + piece.length;
  }
  return text.length - last.length >= at && text.endsWith(last);
}
