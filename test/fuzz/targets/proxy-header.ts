// The PROXY header that a socket begins with. Whoever gets one past the parser says who its client is.

import assert from "node:assert/strict";
import { isIP } from "node:net";
import {
  buildProxyHeader,
  parseProxyHeader,
  type ProxiedEnds,
  ProxyHeaderError,
} from "../../../src/proxy-protocol.ts";
import type { Random } from "../random.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

/** Version 2 with the longest that it may carry. */
const MAX_BYTES = 16 + 16 * 1024;

export const target: FuzzTarget = { ...readSeeds("proxy-header"), run };

type Verdict = ReturnType<typeof parseProxyHeader> | "refused";

function run(input: Buffer, random: Random): void {
  const verdict = judge(input);
  const part = judge(input.subarray(0, random.below(input.length + 1)));
  if (part === "refused") assert.equal(verdict, "refused", "more bytes mend what was refused");
  if (verdict === null) {
    assert(input.length < MAX_BYTES, "it would wait for ever");
    assert.equal(part, null, "less is enough where all is not");
  }
  if (verdict === null || verdict === "refused") return;
  const { length, ends } = verdict;
  assert(length > 0 && length <= input.length && length <= MAX_BYTES);
  assert.deepEqual(judge(input.subarray(0, length)), verdict, "what follows it matters");
  assert.equal(judge(input.subarray(0, length - 1)), null, "its last byte does not matter");
  if (ends !== null) checkEnds(ends);
}

function judge(bytes: Buffer): Verdict {
  try {
    return parseProxyHeader(bytes);
  } catch (error) {
    if (error instanceof ProxyHeaderError) return "refused";
    throw error;
  }
}

/** What is passed on says the same. */
function checkEnds(ends: ProxiedEnds): void {
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = ends;
  const family = isIP(sourceAddress);
  assert(family !== 0 && isIP(destinationAddress) === family, "ends of two kinds");
  for (const port of [sourcePort, destinationPort]) {
    assert(Number.isInteger(port) && port >= 0 && port < 65_536, `port ${port}`);
  }
  const built = buildProxyHeader(ends);
  assert.deepEqual(parseProxyHeader(built), { length: built.length, ends });
}
