// One text from outside, read in turn by each parser of a value: of a header line, of a target, of a quantity,
// of a Close. Each law says what a reader of the result relies on.

import assert from "node:assert/strict";
import { isIP } from "node:net";
import { AddressError } from "../../../src/config/addresses.ts";
import { parseBlock } from "../../../src/config/cidr.ts";
import * as units from "../../../src/config/units.ts";
import { AddressBlocks, clientAddress } from "../../../src/data-plane/client-address.ts";
import { cookieValue, withoutCookies } from "../../../src/data-plane/cookies.ts";
import { findToken, withoutTokens } from "../../../src/data-plane/credentials/token-places.ts";
import {
  fromBytes,
  headerSpelling,
  ipUser,
  isUsableUser,
  networkOf,
} from "../../../src/data-plane/identity-value.ts";
import { Origins } from "../../../src/data-plane/origins.ts";
import { parseTarget } from "../../../src/data-plane/routes.ts";
import { Refusal } from "../../../src/errors.ts";
import { closeCodeLabel, parseClosePayload } from "../../../src/ws/close.ts";
import { answerForDropping, canDropMessages, offerForDropping } from "../../../src/ws/extensions.ts";
import { parseExtensions, parseTokenList, reservedBitsFor } from "../../../src/ws/handshake.ts";
import { configWith } from "../config-with.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

const trusted = new AddressBlocks(["127.0.0.0/8", "::1/128", "10.0.0.0/8"]);

const { routes } = configWith({
  routes: [{ pool: "chat", origins: ["https://example.com", "https://*.example.com", "self"] }],
});
const origins = new Origins(routes);

export const target: FuzzTarget = { ...readSeeds("header-values"), run };

function run(input: Buffer): void {
  const text = input.toString("latin1");
  checkLists(text);
  checkExtensions(text);
  checkCookies(text);
  checkTokens(text);
  checkAddresses(text);
  checkOrigin(text);
  checkTarget(text);
  checkUser(text);
  checkQuantities(text);
  checkClose(input);
}

function checkLists(text: string): void {
  const tokens = parseTokenList(text);
  if (tokens !== null) assert.deepEqual(parseTokenList(tokens.join(", ")), tokens);
}

/** What may be dropped from goes out with the one parameter that allows it, and says so again when read. */
function checkExtensions(text: string): void {
  assert([0, 0x40, 0x70].includes(reservedBitsFor(text)));
  const extensions = parseExtensions(text);
  const offer = offerForDropping(text);
  if (offer !== undefined) {
    assert(canDropMessages(offer), `messages of ${offer} cannot be dropped`);
    assert.equal(offerForDropping(offer), offer);
  }
  if (extensions === null) return;
  const answer = answerForDropping(text);
  assert.deepEqual(parseExtensions(answer)?.map(nameOf), extensions.map(nameOf));
  assert.equal(answerForDropping(answer), answer);
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

function checkCookies(text: string): void {
  const line = withoutCookies(text, new Set(["uid"]));
  if (line !== null) assert.equal(cookieValue(line, "uid"), null, "a cookie is left");
}

const QUERY_TOKEN = [{ kind: "query", name: "token" }] as const;
const PROTOCOL_TOKEN = [{ kind: "subprotocol", name: "" }] as const;

/** A token that was read is not passed on. */
function checkTokens(text: string): void {
  findToken([{ kind: "bearer", name: "" }], { rawHeaders: ["Authorization", text], headers: {}, url: "/" });
  const rawPath = `/?${text}`.replaceAll("#", "");
  const target = { host: "", path: "/", rawPath, authority: null };
  const { target: left } = withoutTokens(QUERY_TOKEN, { rawHeaders: [], target });
  const search = findToken(QUERY_TOKEN, { rawHeaders: [], headers: {}, url: left.rawPath });
  assert.equal(search.kind, "none", `a token is left in ${left.rawPath}`);
  const rawHeaders = ["Sec-WebSocket-Protocol", text];
  const protocols = parseTokenList(text) ?? [];
  // A list that repeats itself is refused before.
  if (new Set(protocols).size < protocols.length) return;
  const { rawHeaders: passed } = withoutTokens(PROTOCOL_TOKEN, { rawHeaders, target });
  assert.equal(findToken(PROTOCOL_TOKEN, { rawHeaders: [...passed], headers: {} }).kind, "none");
}

function checkAddresses(text: string): void {
  const address = clientAddress("127.0.0.1", text, trusted);
  assert(isIP(address) !== 0, `${address} is no address`);
  assert.match(ipUser(address), /^ip:[\da-f.:]+(?:\/64)?$/);
  assert.match(networkOf(address), /^[\da-f.:]+\/(?:24|48)$/);
  const blocks = resultOf(() => parseBlock(text), AddressError);
  if (blocks !== null) assert.deepEqual(blocks.flatMap(parseBlock), blocks);
}

/** Who is let in is so by the URL parser of browsers, too, if a browser could send it at all. */
function checkOrigin(text: string): void {
  if (!origins.allow("*/*", text, "own.example.net") || !URL.canParse(text)) return;
  const { hostname } = new URL(text);
  assert.match(hostname, /^(?:[^.]+\.)?example\.com$|^own\.example\.net$/, `${text} is let in`);
}

function checkTarget(text: string): void {
  for (const [url, host] of [
    [text, "example.com"],
    ["/", text],
  ] as const) {
    const parsed = resultOf(() => parseTarget(url, host), Refusal);
    if (parsed === null) continue;
    assert.match(parsed.rawPath, /^\/[^#]*$/s);
    assert.doesNotMatch(parsed.path, /(?:^|\/)\.{1,2}(?:\/|$)/, "a dot segment is left");
    assert.doesNotMatch(
      decodedToTheEnd(parsed.path),
      /\\|\0|(?:^|\/)(?:\.\.(?:[/;]|$)|\.;)/,
      "a way out is left",
    );
    assert.match(parsed.host, /^(?:[\da-f:]+|[\w.~-]*)$/);
    assert.equal(parsed.host, parsed.host.toLowerCase());
    const seen = URL.parse(`http://${parsed.authority ?? host}/`)?.hostname.replace(/^\[|\]$|\.$/g, "");
    if (seen !== undefined) assert.equal(parsed.host, seen, "a URL parser reads another host");
  }
}

/** As servers that decode a path again and again would read its ASCII. */
function decodedToTheEnd(path: string): string {
  const decoded = path.replaceAll(/%[0-7][\da-f]/gi, (escape) =>
    String.fromCharCode(Number.parseInt(escape.slice(1), 16)),
  );
  return decoded === path ? path : decodedToTheEnd(decoded);
}

/** A user that counts is one word of a header, and the backend can tell who it is. */
function checkUser(text: string): void {
  const user = fromBytes(text);
  if (!isUsableUser(user)) return;
  const spelled = headerSpelling(user);
  assert.match(spelled, /^[\x21-\x7e]+$/);
  assert.equal(decodeURIComponent(spelled), user);
}

const QUANTITIES = [
  [units.parseDuration, units.formatDuration],
  [units.parseSize, units.formatSize],
  [units.parseRate, null],
  [units.parseByteRate, null],
  [units.parsePercent, null],
] as const;

function checkQuantities(text: string): void {
  for (const [parse, format] of QUANTITIES) {
    const amount = resultOf(() => parse(text), units.UnitError);
    if (amount === null) continue;
    assert(Number.isFinite(amount) && amount >= 0, `${text} is ${amount}`);
    if (format !== null) assert.equal(parse(format(amount)), amount);
  }
}

function checkClose(payload: Buffer): void {
  const { code, reason } = parseClosePayload(payload);
  assert.match(closeCodeLabel(code), /^(?:10(?:0\d|1[0-5])|[34]xxx|other)$/);
  assert(reason.length <= payload.length);
}

/** Null where it is refused in the way that is expected. */
function resultOf<T>(parse: () => T, expected: new (...given: never[]) => Error): T | null {
  try {
    return parse();
  } catch (error) {
    if (error instanceof expected) return null;
    throw error;
  }
}
