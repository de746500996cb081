// FrameScanner against the parser of `ws`, over random streams cut at random places: they must see
// the same messages and refuse the same frames. Ours is stricter on minimal lengths, and lets through
// the Close codes and payloads that `ws` checks.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isValidCloseCode } from "../../src/ws/close.ts";
import type { FrameScannerOptions } from "../../src/ws/frame-scanner.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import {
  type Boundaries,
  cut,
  cutIntoBytes,
  type FrameRecord,
  type MessageSeen,
  recordFrames,
} from "./frame-record.ts";
import {
  brokenStream,
  closedStream,
  cuts,
  type Direction,
  offsetsOf,
  type RandomStream,
  soundStream,
} from "./frame-streams.ts";
import { WsReceiver, type WsState } from "./ws-receiver.ts";

const anyStream = fc.oneof(soundStream, closedStream, brokenStream);

function optionsFor({ masked, deflate }: Direction): FrameScannerOptions {
  return { masked, reservedBits: deflate ? 0x40 : 0 };
}

function record({ direction, frames }: RandomStream, cuts: readonly number[]): FrameRecord {
  const stream = Buffer.concat(frames);
  return recordFrames(optionsFor(direction), cut(stream, offsetsOf(cuts, stream)));
}

/** Pieces of a stream for `ws` to read, the state it must be in after each, and what it must have seen. */
interface Expectation {
  readonly pieces: Buffer[];
  readonly states: WsState[];
  readonly messages: MessageSeen[];
}

/** What must be true of `ws` if our reading of the stream is right. */
function expectationOf(stream: Buffer, { messages, forwarded, errorCode }: FrameRecord): Expectation {
  const closeAt = messages.findIndex(({ type }) => type === "close");
  const close = messages[closeAt];
  if (close?.type === "close") {
    // `ws` reads nothing after a Close, and checks it.
    return isBadClose(close.payload)
      ? { pieces: [stream], states: ["refused"], messages: messages.slice(0, closeAt) }
      : { pieces: [stream], states: ["closed"], messages: messages.slice(0, closeAt + 1) };
  }
  const sound = stream.subarray(0, forwarded.length / 2);
  const rest = stream.subarray(sound.length);
  if (errorCode === null) {
    return { pieces: [stream], states: [beginsOneByteClose(rest) ? "refused" : "open"], messages };
  }
  if (errorCode === "length_not_minimal") return { pieces: [sound], states: ["open"], messages };
  // `ws` judges whole pieces of a header: its first two bytes, or those with the 64-bit length.
  const proofLength = errorCode === "length_too_large" ? 10 : 2;
  const proof = Buffer.concat([rest, Buffer.alloc(proofLength)]).subarray(0, proofLength);
  return {
    pieces: [sound, proof.subarray(0, -1), proof.subarray(-1)],
    states: ["open", "open", "refused"],
    messages,
  };
}

/** In hex. */
function isBadClose(payload: string): boolean {
  return payload.length === 2 || (payload !== "" && !isValidCloseCode(parseInt(payload.slice(0, 4), 16)));
}

/** A Close of one byte, which `ws` refuses by its header already. */
function beginsOneByteClose(bytes: Buffer): boolean {
  return (
    bytes.length > 1 && (bytes.readUInt8(0) & 0xf) === opcodes.close && (bytes.readUInt8(1) & 0x7f) === 1
  );
}

async function compareWithWs(random: RandomStream, ours: number[], theirs: number[]): Promise<void> {
  const stream = Buffer.concat(random.frames);
  const { pieces, states, messages } = expectationOf(stream, record(random, ours));
  const receiver = new WsReceiver(random.direction);
  const seenStates: WsState[] = [];
  for (const piece of pieces) {
    for (const chunk of cut(piece, offsetsOf(theirs, piece))) await receiver.write(chunk);
    seenStates.push(receiver.state);
  }
  expect(seenStates).toEqual(states);
  expect(receiver.messages).toEqual(messages);
}

describe("FrameScanner and the parser of ws", () => {
  test("see the same messages in a sound stream", async () => {
    await fc.assert(
      fc.asyncProperty(soundStream, cuts, cuts, async (random, ours, theirs) => {
        const { errorCode, forwarded } = record(random, ours);
        expect(errorCode).toBeNull();
        expect(forwarded).toBe(Buffer.concat(random.frames).toString("hex"));
        await compareWithWs(random, ours, theirs);
      }),
      { numRuns: 1000 },
    );
  });

  test("see the same Close", async () => {
    await fc.assert(fc.asyncProperty(closedStream, cuts, cuts, compareWithWs), { numRuns: 1000 });
  });

  test("refuse the same frame of a broken stream", async () => {
    await fc.assert(fc.asyncProperty(brokenStream, cuts, cuts, compareWithWs), { numRuns: 4000 });
  });
});

describe("FrameScanner", () => {
  test("sees the same in a stream however it is cut", () => {
    fc.assert(
      fc.property(anyStream, cuts, (random, cuts) => {
        expect(record(random, cuts)).toEqual(record(random, []));
      }),
      { numRuns: 3000 },
    );
  });

  test("sees the same in a stream that comes byte by byte", () => {
    fc.assert(
      fc.property(anyStream, (random) => {
        const options = optionsFor(random.direction);
        const stream = Buffer.concat(random.frames).subarray(0, 2000);
        expect(recordFrames(options, cutIntoBytes(stream))).toEqual(recordFrames(options, [stream]));
      }),
      { numRuns: 1000 },
    );
  });

  test("forwards all but the frame in error or the carry", () => {
    fc.assert(
      fc.property(anyStream, cuts, (random, cuts) => {
        const { forwarded, errorCode, carryLength } = record(random, cuts);
        const stream = Buffer.concat(random.frames).toString("hex");
        const heldBack = (stream.length - forwarded.length) / 2;
        expect(stream.startsWith(forwarded)).toBe(true);
        expect(carryLength).toBe(errorCode === null ? heldBack : 0);
        expect(carryLength).toBeLessThan(2 + 4 + 125);
      }),
      { numRuns: 2000 },
    );
  });

  const insertions = [
    { boundary: "frame", opcode: opcodes.ping },
    { boundary: "message", opcode: opcodes.text },
  ] as const;

  test.each(insertions)("calls a $boundary boundary only where one more may go", async (insertion) => {
    await fc.assert(
      fc.asyncProperty(soundStream, cuts, async ({ direction, frames }, cuts) => {
        const stream = Buffer.concat(frames);
        const boundaries: Boundaries = { frame: [], message: [] };
        const chunks = cut(stream, offsetsOf(cuts, stream));
        const { messages } = recordFrames(optionsFor(direction), chunks, boundaries);
        const found = boundaries[insertion.boundary];
        const spec = { opcode: insertion.opcode, payload: "weir" };
        const ours = encodeFrame(direction.masked ? { ...spec, maskingKey: Buffer.of(9, 8, 7, 6) } : spec);

        const receiver = new WsReceiver(direction);
        let start = 0;
        for (const offset of found) {
          await receiver.write(stream.subarray(start, offset));
          await receiver.write(ours);
          start = offset;
        }
        await receiver.write(stream.subarray(start));
        expect(receiver.state).toBe("open");
        expect(receiver.messages).toHaveLength(messages.length + found.length);
      }),
      { numRuns: 1000 },
    );
  });
});
