// What Node's parser lets through in a backend's answer, but its own writer throws on.

import type { IncomingMessage } from "node:http";

/** RFC 9110 §5.5 and RFC 9112 §4: visible characters, spaces and tabs, and bytes above ASCII. */
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

export function isHeaderText(text: string): boolean {
  return TEXT.test(text);
}

/** Node keeps no more lines of an answer, and does not say so: it could lack the one that counts. */
const MAX_HEADER_LINES = 1_000;

/** Why the answer cannot be passed on; null if it can. */
export function answerFault({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string | null {
  if (statusCode === undefined || statusCode < 200 || statusCode > 599) return `status ${statusCode}`;
  if (!isHeaderText(statusMessage ?? "")) return "a control character in the reason phrase";
  if (rawHeaders.length / 2 >= MAX_HEADER_LINES) return "too many header lines";
  return rawHeaders.every((text) => isHeaderText(text)) ? null : "a control character in a header";
}
