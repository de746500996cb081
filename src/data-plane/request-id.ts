// The id by which one request can be followed through logs on both sides of Weir.

import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { joinedHeader } from "../ws/handshake.ts";

const MAX_LENGTH = 128;

/** Tells the ids of this thread's life from those of every other. */
const prefix = randomBytes(8).toString("hex");
let count = 0;

/** A trusted peer's request id if it is one that can be logged; else a new one, unique but guessable. */
export function requestIdOf(
  { rawHeaders }: Pick<IncomingMessage, "rawHeaders">,
  isPeerTrusted: boolean,
): string {
  const given = isPeerTrusted ? joinedHeader(rawHeaders, "x-request-id") : undefined;
  if (given !== undefined && given.length <= MAX_LENGTH && /^[\x21-\x7e]+$/.test(given)) return given;
  count += 1;
  return `${prefix}-${count.toString(36)}`;
}
