// What Node's parser lets through in a backend's answer, and Weir does not: what its own writer throws on, and
// what two readers find the end of in different places.

import type { IncomingMessage } from "node:http";
import { joinedHeader } from "../ws/handshake.ts";

/** RFC 9110 §5.5 and RFC 9112 §4: visible characters, spaces and tabs, and bytes above ASCII. */
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

export function isHeaderText(text: string): boolean {
  return TEXT.test(text);
}

/** Node keeps no more lines of an answer, and does not say so: it could lack the one that counts. */
const MAX_HEADER_LINES = 1_000;

/** Why the answer cannot be passed on; null if it can. */
export function answerFault({
  statusCode,
  statusMessage,
  rawHeaders,
}: Pick<IncomingMessage, "statusCode" | "statusMessage" | "rawHeaders">): string | null {
  if (statusCode === undefined || statusCode < 200 || statusCode > 599) return `status ${statusCode}`;
  if (!isHeaderText(statusMessage ?? "")) return "a control character in the reason phrase";
  if (rawHeaders.length / 2 >= MAX_HEADER_LINES) return "too many header lines";
  if (!rawHeaders.every((text) => isHeaderText(text))) return "a control character in a header";
  return statusCode === 204 && announcesBody(rawHeaders) ? "a 204 that announces a body" : null;
}

/** RFC 9110 §8.6, RFC 9112 §6.1: a 204 must not. A length of 0 is harmless, and usual. */
function announcesBody(rawHeaders: readonly string[]): boolean {
  const length = joinedHeader(rawHeaders, "content-length") ?? "0";
  return Number(length) !== 0 || joinedHeader(rawHeaders, "transfer-encoding") !== undefined;
}
