// Masking keys for the pings to backends. Drawn from the system's randomness many at a time: a call for each
// would cost more than building the frame.

import { randomFillSync } from "node:crypto";
import { MASKING_KEY_BYTES } from "../ws/protocol.ts";

const pool = Buffer.alloc(1_024 * MASKING_KEY_BYTES);
let used = pool.length;

/** Unpredictable (RFC 6455 §5.3), and never handed out again; valid until the next 1 023 were drawn. */
export function nextMaskingKey(): Uint8Array {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += MASKING_KEY_BYTES;
  return pool.subarray(used - MASKING_KEY_BYTES, used);
}
