// The id by which one request can be followed through logs on both sides of Weir.

import { randomBytes } from "node:crypto";

const MAX_LENGTH = 128;

/** Tells the ids of this thread's life from those of every other. */
const prefix = randomBytes(8).toString("hex");
let count = 0;

/** A trusted peer's request id if it is one that can be logged; else a new one, unique but guessable. */
export function requestIdOf(header: string | string[] | undefined, isPeerTrusted: boolean): string {
  const isUsable =
    isPeerTrusted &&
    typeof header === "string" &&
    header.length <= MAX_LENGTH &&
    /^[\x21-\x7e]+$/.test(header);
  if (isUsable) return header;
  count += 1;
  return `${prefix}-${count.toString(36)}`;
}
