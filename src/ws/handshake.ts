// The opening handshake of RFC 6455 §4, both sides of it, as pure checks over the heads that Node
// has parsed. Header lines are looked up in `rawHeaders`, which alone still shows a repeated one.

import { hash } from "node:crypto";
import { HANDSHAKE_GUID, ReservedBits } from "./protocol.ts";

export interface UpgradeRequest {
  readonly method?: string | undefined;
  readonly httpVersion: string;
  /** Name, value, name, value …, as Node gives them. */
  readonly rawHeaders: readonly string[];
}

export interface HandshakeFault {
  readonly code: "bad_upgrade";
  /** 426 for another version of the protocol, to be answered with `Sec-WebSocket-Version: 13`. */
  readonly status: 400 | 426;
  readonly message: string;
}

export interface UpgradeResponse {
  readonly statusCode: number | undefined;
  readonly rawHeaders: readonly string[];
  /** The `Sec-WebSocket-Key` that was sent. */
  readonly key: string;
  /** The `Sec-WebSocket-Protocol` that was sent, several lines joined by a comma. */
  readonly offeredProtocols: string | undefined;
  /** The `Sec-WebSocket-Extensions` that was sent, likewise. */
  readonly offeredExtensions: string | undefined;
}

export interface Extension {
  readonly name: string;
  readonly parameters: readonly ExtensionParameter[];
}

interface ExtensionParameter {
  readonly name: string;
  /** Null for a parameter without a value; quotes are taken off. */
  readonly value: string | null;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** 16 bytes in base64. Like `ws`, it does not ask that the four padding bits be zero. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

const PERMESSAGE_DEFLATE = "permessage-deflate";

/** The accept value for a key (RFC 6455 §4.2.2). */
export function acceptKey(key: string): string {
  return hash("sha1", key + HANDSHAKE_GUID, "base64");
}

/** Whether `Upgrade` names WebSocket; anything else is plain HTTP for us. */
export function isWebSocketUpgrade({ rawHeaders }: Pick<UpgradeRequest, "rawHeaders">): boolean {
  return hasToken(joinedHeader(rawHeaders, "upgrade"), "websocket");
}

/** What makes the request not an upgrade that RFC 6455 §4.2.1 lets a server accept; null if nothing. */
export function checkUpgradeRequest(request: UpgradeRequest): HandshakeFault | null {
  const { method, httpVersion, rawHeaders } = request;
  if (method !== "GET") return badUpgrade("the method of an upgrade must be GET");
  if (httpVersion !== "1.1") return badUpgrade("an upgrade needs HTTP/1.1");
  if (!isWebSocketUpgrade(request)) {
    return badUpgrade("upgrade must name websocket");
  }
  if (!hasToken(joinedHeader(rawHeaders, "connection"), "upgrade")) {
    return badUpgrade("connection must name upgrade");
  }
  if (!singleHeader(rawHeaders, "host")) return badUpgrade("there must be one host");
  if (!KEY.test(singleHeader(rawHeaders, "sec-websocket-key") ?? "")) {
    return badUpgrade("there must be one sec-websocket-key, 16 bytes in base64");
  }
  const version = singleHeader(rawHeaders, "sec-websocket-version");
  if (!version) return badUpgrade("there must be one sec-websocket-version");
  if (version !== "13") {
    return { code: "bad_upgrade", status: 426, message: "sec-websocket-version must be 13" };
  }
  return checkBody(rawHeaders) ?? checkOffers(rawHeaders);
}

/** A body would be read as the first frames: what a smuggled request is made of. */
function checkBody(rawHeaders: readonly string[]): HandshakeFault | null {
  const length = joinedHeader(rawHeaders, "content-length");
  if (length !== undefined && length !== "0") return badUpgrade("an upgrade must not have a body");
  if (joinedHeader(rawHeaders, "transfer-encoding") === undefined) return null;
  return badUpgrade("an upgrade must not have a transfer-encoding");
}

function checkOffers(rawHeaders: readonly string[]): HandshakeFault | null {
  const protocols = joinedHeader(rawHeaders, "sec-websocket-protocol");
  if (protocols !== undefined) {
    const tokens = parseTokenList(protocols);
    if (tokens === null || tokens.length === 0) {
      return badUpgrade("sec-websocket-protocol must be a list of tokens");
    }
    if (new Set(tokens).size < tokens.length) return badUpgrade("sec-websocket-protocol repeats itself");
  }
  const extensions = joinedHeader(rawHeaders, "sec-websocket-extensions");
  if (extensions === undefined || parseExtensions(extensions) !== null) return null;
  return badUpgrade("sec-websocket-extensions is malformed");
}

function badUpgrade(message: string): HandshakeFault {
  return { code: "bad_upgrade", status: 400, message };
}

/** What is wrong with a backend's 101 by RFC 6455 §4.1; null if nothing. */
export function checkUpgradeResponse(response: UpgradeResponse): string | null {
  const { statusCode, rawHeaders, key, offeredProtocols, offeredExtensions } = response;
  if (statusCode !== 101) return `status ${statusCode}, not 101`;
  if (!hasToken(joinedHeader(rawHeaders, "upgrade"), "websocket")) return "upgrade does not name websocket";
  if (!hasToken(joinedHeader(rawHeaders, "connection"), "upgrade")) return "connection does not name upgrade";
  if (singleHeader(rawHeaders, "sec-websocket-accept") !== acceptKey(key)) {
    return "sec-websocket-accept does not match the key";
  }
  const protocol = joinedHeader(rawHeaders, "sec-websocket-protocol");
  if (protocol !== undefined && !parseTokenList(offeredProtocols ?? "")?.includes(protocol)) {
    return "sec-websocket-protocol was not offered";
  }
  const extensions = joinedHeader(rawHeaders, "sec-websocket-extensions");
  return extensions === undefined ? null : checkExtensions(extensions, offeredExtensions ?? "");
}

function checkExtensions(agreed: string, offered: string): string | null {
  const extensions = parseExtensions(agreed);
  if (extensions === null) return "sec-websocket-extensions is malformed";
  const offers = parseExtensions(offered) ?? [];
  for (const { name } of extensions) {
    if (!offers.some((offer) => offer.name === name)) return "sec-websocket-extensions was not offered";
  }
  return null;
}

/** The reserved bits that the agreed extensions may set on data frames; all of them for one unknown to us. */
export function reservedBitsFor(extensionsHeader: string | undefined): number {
  if (extensionsHeader === undefined) return ReservedBits.none;
  const extensions = parseExtensions(extensionsHeader);
  if (extensions === null) return ReservedBits.all;
  if (extensions.length === 0) return ReservedBits.none;
  return extensions.every(({ name }) => name === PERMESSAGE_DEFLATE) ? ReservedBits.rsv1 : ReservedBits.all;
}

/** The tokens of a comma-separated list, empty elements left out (RFC 9110 §5.6.1); null if malformed. */
export function parseTokenList(value: string): string[] | null {
  const tokens: string[] = [];
  for (const element of value.split(",")) {
    const token = element.trim();
    if (token === "") continue;
    if (!TOKEN.test(token)) return null;
    tokens.push(token);
  }
  return tokens;
}

/** One extension's name or one parameter, and the separator that follows it. */
const EXTENSION_PART =
  /[\t ]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[\t ]*(?:=[\t ]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"((?:[^"\\]|\\.)*)")[\t ]*)?([;,]|$)/y;

const EMPTY_ELEMENTS = /[\t ,]*/y;

/** RFC 6455 §9.1; empty elements are left out, so an empty value is an empty list. Null if malformed. */
export function parseExtensions(value: string): Extension[] | null {
  const extensions: Extension[] = [];
  let parameters: ExtensionParameter[] | null = null;
  let at = 0;
  for (;;) {
    if (parameters === null) {
      EMPTY_ELEMENTS.lastIndex = at;
      EMPTY_ELEMENTS.test(value);
      at = EMPTY_ELEMENTS.lastIndex;
      if (at === value.length) return extensions;
    }
    EXTENSION_PART.lastIndex = at;
    const part = EXTENSION_PART.exec(value);
    if (part === null) return null;
    at = EXTENSION_PART.lastIndex;
    const [, name = "", token, quoted, separator] = part;
    const parameterValue = token ?? quoted?.replaceAll(/\\(.)/g, "$1") ?? null;
    if (parameters === null) {
      if (parameterValue !== null) return null;
      parameters = [];
      extensions.push({ name, parameters });
    } else {
      // Quoted or not, a value must be a token in the end.
      if (parameterValue !== null && !TOKEN.test(parameterValue)) return null;
      parameters.push({ name, value: parameterValue });
    }
    if (separator !== ";") parameters = null;
  }
}

/** Case-insensitive, as HTTP's own tokens are. False for a malformed list. */
function hasToken(value: string | undefined, token: string): boolean {
  if (value === undefined) return false;
  const list = value.toLowerCase();
  if (list === token) return true;
  return list.includes(token) && (parseTokenList(list)?.includes(token) ?? false);
}

/** The value of a header that may stand there once: undefined if it does not, null if more often. */
function singleHeader(rawHeaders: readonly string[], name: string): string | null | undefined {
  const at = indexOfHeader(rawHeaders, name, 0);
  if (at === -1) return undefined;
  return indexOfHeader(rawHeaders, name, at + 2) === -1 ? rawHeaders[at + 1] : null;
}

/**
 * The values of all lines of a list header as one list (RFC 9110 §5.3). On the way of an upgrade this is
 * used instead of Node's `headers`, which builds an object of all lines when it is first asked for.
 */
export function joinedHeader(rawHeaders: readonly string[], name: string): string | undefined {
  let at = indexOfHeader(rawHeaders, name, 0);
  if (at === -1) return undefined;
  let value = rawHeaders[at + 1]!;
  while ((at = indexOfHeader(rawHeaders, name, at + 2)) !== -1) value += `, ${rawHeaders[at + 1]}`;
  return value;
}

/** Lengths are compared first: most lines of a request are none that we look for. */
function indexOfHeader(rawHeaders: readonly string[], name: string, from: number): number {
  for (let i = from; i < rawHeaders.length; i += 2) {
    const candidate = rawHeaders[i]!;
    if (candidate.length === name.length && candidate.toLowerCase() === name) return i;
  }
  return -1;
}
