// What a chunk holds and where reading it stops. The scanner's own rules are tested with it.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { findClose, readChunk } from "../../../src/data-plane/chunk-reading.ts";
import { FrameScanner } from "../../../src/ws/frame-scanner.ts";
import { cutAt, cuts, frameStream } from "../../support/frame-stream.ts";
import { encodeFrame, opcodes } from "../../support/frames.ts";

const hello = encodeFrame({ opcode: opcodes.text, payload: "hello" });
const first = encodeFrame({ opcode: opcodes.binary, payload: "1234", fin: false });
const last = encodeFrame({ opcode: opcodes.continuation, payload: "56" });
const ping = encodeFrame({ opcode: opcodes.ping });
const close = encodeFrame({ opcode: opcodes.close });
const broken = encodeFrame({ opcode: 0x3 });

const unlimited = { maxMessageBytes: Number.POSITIVE_INFINITY, ownPings: null };

function scannerOf(): FrameScanner {
  return new FrameScanner({ masked: false, reservedBits: 0 });
}

/** What one chunk of these frames reads as; its offsets in frames and bytes. */
function read(frames: readonly Buffer[], maxMessageBytes = Number.POSITIVE_INFINITY): object {
  const { starts, ...rest } = readChunk(scannerOf(), Buffer.concat(frames), {
    maxMessageBytes,
    ownPings: null,
  });
  return { ...rest, starts: [...starts.subarray(0, rest.messages)] };
}

describe("a chunk", () => {
  test("counts a message at its first frame, and control frames wherever they stand", () => {
    const frames = [hello, first, ping, last, ping, hello];
    const end = Buffer.concat(frames).length;
    const starts = [0, hello.length, end - hello.length];
    expect(read(frames)).toEqual({ at: end, end, stop: "end", messages: 3, starts, controlFrames: 2 });
  });

  test("ends behind a Close, whatever follows", () => {
    const end = hello.length + close.length;
    const counts = { messages: 1, starts: [0], controlFrames: 1 };
    expect(read([hello, close, hello])).toEqual({ at: end, end, stop: "close", ...counts });
  });

  test("ends before the frame that makes its message too big, be it the sum of fragments", () => {
    const end = hello.length + first.length;
    const counts = { messages: 2, starts: [0, hello.length], controlFrames: 0 };
    expect(read([hello, first, last], 5)).toEqual({ at: end + 2, end, stop: "too big", ...counts });
    expect(read([hello, first, last], 6)).toMatchObject({ stop: "end" });
  });

  test("ends before a frame in error", () => {
    const counts = { messages: 1, starts: [0], controlFrames: 0 };
    const end = hello.length;
    expect(read([hello, broken])).toEqual({ at: end, end, stop: "error", ...counts });
  });

  test("without a whole header holds nothing", () => {
    const counts = { messages: 0, starts: [], controlFrames: 0 };
    expect(read([hello.subarray(0, 1)])).toEqual({ at: 0, end: 0, stop: "end", ...counts });
  });
});

test("the messages of a stream's chunks add up to those of the stream, wherever it is cut", () => {
  const stream = frameStream({ masked: true, compressed: false });
  fc.assert(
    fc.property(stream, cuts, ({ bytes, messages }, places) => {
      const scanner = new FrameScanner({ masked: true, reservedBits: 0 });
      let counted = 0;
      let passed = 0;
      for (const chunk of cutAt(bytes, places)) {
        const reading = readChunk(scanner, scanner.feed(chunk), unlimited);
        expect(reading.stop).toBe("end");
        counted += reading.messages;
        passed += reading.end;
      }
      expect(counted).toBe(messages);
      expect(passed).toBe(bytes.length);
    }),
    { numRuns: 50 },
  );
});

describe("the search for a Close", () => {
  test("steps over everything else", () => {
    expect(findClose(scannerOf(), Buffer.concat([hello, ping, first, close]), 0)).toBe(true);
    expect(findClose(scannerOf(), Buffer.concat([hello, ping, first, last]), 0)).toBe(false);
    expect(findClose(scannerOf(), Buffer.alloc(0), 0)).toBe(false);
  });

  test("ends at a frame in error", () => {
    const scanner = scannerOf();
    expect(findClose(scanner, Buffer.concat([hello, broken, close]), 0)).toBe(false);
    expect(scanner.error?.code).toBe("bad_opcode");
  });
});
