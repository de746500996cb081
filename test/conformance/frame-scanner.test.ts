// FrameScanner against the parser of `ws`, over random streams cut at random places: they must see
// the same messages and refuse the same frames, as far as ws-agreement.ts has it.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FrameScannerOptions } from "../../src/ws/frame-scanner.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { type Boundaries, cut, cutIntoBytes, type FrameRecord, recordFrames } from "./frame-record.ts";
import {
  brokenStream,
  closedStream,
  cuts,
  type Direction,
  offsetsOf,
  type RandomStream,
  soundStream,
} from "./frame-streams.ts";
import { askWs } from "./ws-agreement.ts";
import { WsReceiver } from "./ws-receiver.ts";

const anyStream = fc.oneof(soundStream, closedStream, brokenStream);

function optionsFor({ masked, deflate }: Direction): FrameScannerOptions {
  return { masked, reservedBits: deflate ? 0x40 : 0 };
}

function record({ direction, frames }: RandomStream, cuts: readonly number[]): FrameRecord {
  const stream = Buffer.concat(frames);
  return recordFrames(optionsFor(direction), cut(stream, offsetsOf(cuts, stream)));
}

async function compareWithWs(random: RandomStream, ours: number[], theirs: number[]): Promise<void> {
  const stream = Buffer.concat(random.frames);
  const cutTheirs = (piece: Buffer): Buffer[] => cut(piece, offsetsOf(theirs, piece));
  const { expected, seen } = await askWs(random.direction, stream, record(random, ours), cutTheirs);
  expect(seen).toEqual(expected);
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
