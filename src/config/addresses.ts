// Addresses as the configuration writes them: bind addresses, CIDR blocks, backend URLs.
// Pure text work; nothing here resolves a name or opens a socket.

import { isIP, isIPv4, isIPv6 } from "node:net";
import type { BackendTarget } from "./schema-backends.ts";
import type { BindAddress } from "./schema-listeners.ts";
import { describeValue } from "./units.ts";

/** The text is no such address; `message` is ready to print after a key's path. */
export class AddressError extends Error {
  override name = "AddressError";
}

const BIND_FORMS = '"127.0.0.1:8080", "[::1]:8080", ":8080" (all interfaces) or "unix:/path"';
const URL_FORMS = '"ws://host:port", "wss://host:port/base", "unix:/path" or "ws+unix:/path:/base"';
const MAX_PORT = 65_535;

/** @throws AddressError */
export function parseBind(text: string): BindAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path === "") throw new AddressError(`${describeValue(text)} names no socket: write "unix:/path"`);
    return { kind: "unix", path, text };
  }
  if (/^\d+$/.test(text)) throw new AddressError(`a port alone needs a colon: write ":${text}"`);
  if (/^[a-z]+:\/\//i.test(text)) {
    throw new AddressError(`${describeValue(text)} is a URL; write an address like ${BIND_FORMS}`);
  }
  const { host, portText } = splitHostPort(text);
  const port = Number(portText);
  if (!/^\d+$/.test(portText) || port > MAX_PORT) {
    throw new AddressError(`${describeValue(text)} has no port from 0 to ${MAX_PORT}: write ${BIND_FORMS}`);
  }
  if (host !== "" && isIP(host) === 0 && !isHostName(host)) {
    throw new AddressError(`${describeValue(text)} has no valid host: write ${BIND_FORMS}`);
  }
  return { kind: "tcp", host, port, text };
}

/** True if only this machine can reach the address. */
export function isLoopback(bind: BindAddress): boolean {
  if (bind.kind === "unix") return true;
  const host = bind.host.toLowerCase();
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

/** Null for what the parser does not accept: the schema refuses it. */
export function attempt<T>(parse: (text: string) => T, value: unknown): T | null {
  if (typeof value !== "string") return null;
  try {
    return parse(value);
  } catch {
    return null;
  }
}

/** Letters, digits, hyphens and underscores in labels: names as DNS and container networks have them. */
export function isHostName(text: string): boolean {
  return text.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(text);
}

/**
 * Where a backend's URL leads. Unix sockets come as `unix:/path`, or as the `ws` library writes them:
 * `ws+unix:/path:/base`.
 *
 * @throws AddressError
 */
export function parseBackendUrl(url: string): BackendTarget {
  const [, scheme = "", rest = ""] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(url) ?? [];
  // Not echoed: what stands there may be a password.
  if (!/unix$/i.test(scheme) && /^[^/?#@]*(?:\/+[^/?#@]*)?@/.test(url)) {
    throw new AddressError("a backend URL cannot hold a user or password");
  }
  switch (scheme.toLowerCase()) {
    case "unix":
      return unixTarget(url, rest, false);
    case "ws+unix":
      return unixTarget(url, rest, false);
    case "wss+unix":
      return unixTarget(url, rest, true);
    case "ws":
      return tcpTarget(url, false);
    case "wss":
      return tcpTarget(url, true);
    case "http":
      throw new AddressError(
        `${describeValue(url)} must begin with ws:// (plain HTTP requests take the same way)`,
      );
    case "https":
      throw new AddressError(
        `${describeValue(url)} must begin with wss:// (plain HTTP requests take the same way)`,
      );
    default:
      throw new AddressError(`${describeValue(url)} is not a backend URL: write ${URL_FORMS}`);
  }
}

/** The id of a backend that was given none. */
export function defaultBackendId(target: BackendTarget): string {
  if (target.socketPath !== null) return target.socketPath;
  return isIPv6(target.host) ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

function tcpTarget(url: string, secure: boolean): BackendTarget {
  const parsed = URL.parse(url);
  if (parsed === null || !/^wss?:\/\//i.test(url)) {
    throw new AddressError(`${describeValue(url)} is not a backend URL: write ${URL_FORMS}`);
  }
  if (parsed.search !== "" || parsed.hash !== "") throw queryError();
  const host = parsed.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = parsed.port === "" ? (secure ? 443 : 80) : Number(parsed.port);
  if (port === 0) throw new AddressError(`${describeValue(url)} has port 0, which cannot be dialled`);
  return { secure, host, port, socketPath: null, basePath: trimSlashes(parsed.pathname) };
}

function unixTarget(url: string, rest: string, secure: boolean): BackendTarget {
  const colon = rest.indexOf(":");
  const path = (colon < 0 ? rest : rest.slice(0, colon)).replace(/^\/\/(?=\/)/, "");
  const base = colon < 0 ? "" : rest.slice(colon + 1);
  if (path === "") throw new AddressError(`${describeValue(url)} names no socket: write "unix:/path"`);
  if (base !== "" && !base.startsWith("/")) {
    throw new AddressError(`${describeValue(url)} has a path prefix that does not begin with /`);
  }
  if (/[?#]/.test(base)) throw queryError();
  return { secure, host: "", port: 0, socketPath: path, basePath: trimSlashes(base) };
}

/** Not echoed: it may hold a key. */
function queryError(): AddressError {
  return new AddressError("a backend URL has no query or fragment; only a path prefix can be given");
}

/** The path without slashes at its end. */
export function trimSlashes(path: string): string {
  return path.replace(/(?<!\/)\/+$/, "");
}

function splitHostPort(text: string): { host: string; portText: string } {
  const bracketed = /^\[([^\]]*)\]:?(.*)$/.exec(text);
  if (bracketed !== null) {
    const host = bracketed[1] ?? "";
    if (!isIPv6(host)) throw new AddressError(`${describeValue(text)} has no IPv6 address in its brackets`);
    return { host, portText: bracketed[2] ?? "" };
  }
  const colon = text.lastIndexOf(":");
  const host = colon < 0 ? text : text.slice(0, colon);
  if (host.includes(":")) {
    throw new AddressError(`${describeValue(text)}: an IPv6 address needs brackets, like "[::1]:8080"`);
  }
  return { host: host === "*" ? "" : host, portText: colon < 0 ? "" : text.slice(colon + 1) };
}
