// What a client sends that was refused by a Close, cut anywhere: it is read to its end whatever it is, nothing
// answers it, and our side of the socket ends with its Close, or where there can be none any more.

import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { refuseByClose } from "../../../src/data-plane/refuse-by-close.ts";
import { Refusal } from "../../../src/errors.ts";
import { Opcode, ReservedBits } from "../../../src/ws/protocol.ts";
import { cut, recordFrames } from "../../conformance/frame-record.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import { decodeFrame, parseClose } from "../../support/frames.ts";
import type { Random } from "../random.ts";
import { readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

const RAW_HEADERS = ["Host", "a", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="];

/** Longer than any iteration: who is there still when one ends would be seen as growth. */
const CLOSE_TIMEOUT_MS = 10 * 60_000;

export const target: FuzzTarget = { ...readSeeds("refused-client"), run };

async function run(stream: Buffer, random: Random): Promise<void> {
  const cuts = Array.from({ length: random.below(8) }, () => random.below(stream.length + 1));
  // The first of them came before the refusal.
  const [head = Buffer.alloc(0), ...chunks] = cut(stream, cuts);
  const socket = new FakeSocket();
  refuseByClose({
    request: { rawHeaders: RAW_HEADERS } as unknown as IncomingMessage,
    socket: socket.asSocket,
    head,
    refusal: new Refusal("no_route"),
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
    hasTokenProtocols: random.oneIn(2),
  });
  for (const chunk of chunks) if (chunk.length > 0) socket.push(chunk);
  await turn();
  assert.equal(socket.readableLength, 0, "it is not read to its end");
  assert.equal(socket.destroyed, false, "it is cut before its time");
  const { frames, errorCode } = recordFrames({ masked: true, reservedBits: ReservedBits.none }, [stream]);
  const isOver = errorCode !== null || frames.some(({ opcode }) => opcode === Opcode.close);
  assert.equal(
    socket.writableEnded,
    isOver,
    isOver ? "it is not told the end" : "it is told the end too early",
  );
  checkWritten(Buffer.concat(socket.written));
  if (random.oneIn(2)) socket.push(null);
  else socket.destroy();
  await turn();
  assert(socket.destroyed, "it has left, and is kept");
}

/** One 101 and one Close, and no byte more. */
function checkWritten(written: Buffer): void {
  const end = written.indexOf("\r\n\r\n") + 4;
  assert.match(written.toString("latin1", 0, end), /^HTTP\/1\.1 101 /);
  const decoded = decodeFrame(written.subarray(end));
  assert.equal(decoded?.length, written.length - end, "more is sent than one frame");
  assert.deepEqual(parseClose(decoded.frame), { code: 1008, reason: "no_route" });
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
