// How much of what comes still belongs to the frame or message in flight when a Close of ours is under way.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { finishInFlight, type FinishingUnit } from "../../../src/data-plane/finishing.ts";
import { FrameScanner } from "../../../src/ws/frame-scanner.ts";
import { cutAt, cuts } from "../../support/frame-stream.ts";
import { encodeFrame, opcodes } from "../../support/frames.ts";

const first = encodeFrame({ opcode: opcodes.binary, payload: "1234", fin: false });
const middle = encodeFrame({ opcode: opcodes.continuation, payload: "", fin: false });
const last = encodeFrame({ opcode: opcodes.continuation, payload: "56" });
const hello = encodeFrame({ opcode: opcodes.text, payload: "hello" });
const ping = encodeFrame({ opcode: opcodes.ping, payload: "p" });
const close = encodeFrame({ opcode: opcodes.close });
const broken = encodeFrame({ opcode: 0x3 });

const unlimited = { maxMessageBytes: Number.POSITIVE_INFINITY, ownPings: null };

/** A scanner that has read the beginning of `first`. */
function insideFirst(): FrameScanner {
  const scanner = new FrameScanner({ masked: false, reservedBits: 0 });
  const chunk = first.subarray(0, 4);
  scanner.next(chunk, scanner.next(chunk, 0));
  return scanner;
}

/** What follows, from the middle of `first` on. */
function rest(...frames: Buffer[]): Buffer {
  return Buffer.concat([first.subarray(4), ...frames]);
}

function finish(unit: FinishingUnit, bytes: Buffer, maxMessageBytes = Number.POSITIVE_INFINITY): object {
  return finishInFlight(insideFirst(), bytes, unit, { maxMessageBytes, ownPings: null });
}

describe("a frame in flight", () => {
  test("ends with its payload", () => {
    expect(finish("frame", rest(last, hello))).toEqual({ end: 2, at: 2, stop: "whole" });
  });

  test("goes on in the next chunk", () => {
    expect(finish("frame", first.subarray(4, 5))).toEqual({ end: 1, at: 1, stop: "more" });
  });
});

describe("a message in flight", () => {
  test("ends with its last fragment, control frames between them passed on", () => {
    const message = rest(ping, middle, ping, last);
    const end = message.length;
    const bytes = Buffer.concat([message, ping, hello]);
    expect(finish("message", bytes)).toEqual({ end, at: end, stop: "whole" });
  });

  test("goes on in the next chunk, whose header may be cut", () => {
    const bytes = rest(ping, last.subarray(0, 1));
    const end = bytes.length - 1;
    expect(finish("message", bytes)).toEqual({ end, at: end, stop: "more" });
  });

  test("is ended by its sender's Close", () => {
    const end = rest(ping).length;
    expect(finish("message", rest(ping, close, hello))).toEqual({
      end,
      at: end + close.length,
      stop: "close",
    });
  });

  test("is ended by the fragment that makes it too big", () => {
    const end = rest(ping).length;
    expect(finish("message", rest(ping, last), 5)).toEqual({ end, at: end + 2, stop: "too big" });
    expect(finish("message", rest(ping, last), 6)).toMatchObject({ stop: "whole" });
  });

  test("is ended by a frame in error", () => {
    const end = rest(ping).length;
    expect(finish("message", rest(ping, broken))).toEqual({ end, at: end, stop: "error" });
    expect(finish("message", rest(ping, hello))).toEqual({ end, at: end, stop: "error" });
  });

  test("comes out the same wherever the stream is cut", () => {
    const message = rest(ping, middle, last);
    const bytes = Buffer.concat([message, hello, ping]);
    fc.assert(
      fc.property(cuts, (places) => {
        const scanner = insideFirst();
        const passed: Buffer[] = [];
        for (const chunk of cutAt(bytes, places)) {
          const fed = scanner.feed(chunk);
          const { end, stop } = finishInFlight(scanner, fed, "message", unlimited);
          passed.push(fed.subarray(0, end));
          if (stop === "whole") break;
        }
        expect(Buffer.concat(passed)).toEqual(message);
      }),
    );
  });
});
