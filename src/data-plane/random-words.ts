// Random words for Weir's pings: masking keys, and where their payloads begin. Drawn from the system's
// randomness many at a time: a call for each would cost more than building the frame.

import { randomFillSync } from "node:crypto";
import { MASKING_KEY_BYTES } from "../ws/protocol.ts";

const WORD_BYTES = MASKING_KEY_BYTES;

const pool = Buffer.alloc(1_024 * WORD_BYTES);
let used = pool.length;

/** 4 unpredictable bytes (RFC 6455 §5.3), never handed out again; valid until the next 1 023 were drawn. */
export function nextRandomWord(): Buffer {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += WORD_BYTES;
  return pool.subarray(used - WORD_BYTES, used);
}
