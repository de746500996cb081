// The calling convention of FrameScanner: what a pipe relies on beside the rules of RFC 6455, which
// test/conformance/ holds.

import { describe, expect, test } from "vitest";
import { FrameScanner } from "../../../src/ws/frame-scanner.ts";
import { encodeFrame, opcodes } from "../../support/frames.ts";

const maskingKey = Buffer.of(0x37, 0xfa, 0x21, 0x3d);
const hello = encodeFrame({ opcode: opcodes.text, payload: "hello" });
const maskedHello = encodeFrame({ opcode: opcodes.text, payload: "hello", maskingKey });
const ping = encodeFrame({ opcode: opcodes.ping, payload: "weir" });

function fromServer(reservedBits = 0): FrameScanner {
  return new FrameScanner({ masked: false, reservedBits });
}

function fromClient(): FrameScanner {
  return new FrameScanner({ masked: true, reservedBits: 0 });
}

describe("feed", () => {
  test("returns the chunk itself when nothing is carried", () => {
    const scanner = fromServer();
    expect(scanner.feed(hello)).toBe(hello);
    scanner.next(hello, scanner.next(hello, 0));
    expect(scanner.feed(ping)).toBe(ping);
  });

  test("returns the carry followed by the chunk", () => {
    const scanner = fromClient();
    const first = maskedHello.subarray(0, 5);
    expect(scanner.next(scanner.feed(first), 0)).toBe(0);
    expect(scanner.carryLength).toBe(5);
    expect(scanner.feed(maskedHello.subarray(5))).toEqual(maskedHello);
    expect(scanner.carryLength).toBe(0);
  });

  test("carries bytes of its own, not a view of the chunk", () => {
    const scanner = fromServer();
    const chunk = Buffer.concat([hello, ping.subarray(0, 3)]);
    expect(scanner.next(chunk, scanner.next(chunk, 0))).toBe(hello.length);
    chunk.fill(0);
    expect(scanner.feed(ping.subarray(3))).toEqual(ping);
  });

  test("carries nothing of a payload, however short the chunk", () => {
    const scanner = fromServer();
    scanner.next(hello, 0);
    const fed = scanner.feed(Buffer.alloc(0));
    expect(scanner.next(fed, 0)).toBe(0);
    expect(scanner.carryLength).toBe(0);
  });
});

describe("next", () => {
  test("stands behind the header of a data frame, its payload still to come", () => {
    const scanner = fromClient();
    const chunk = Buffer.concat([maskedHello, maskedHello]);
    expect(scanner.next(chunk, 0)).toBe(6);
    expect(scanner).toMatchObject({
      frameReady: true,
      frameStart: 0,
      opcode: opcodes.text,
      fin: true,
      rsv1: false,
      masked: true,
      payloadLength: 5,
      payloadRemaining: 5,
      isMessageStart: true,
      isAtFrameBoundary: false,
      isAtMessageBoundary: false,
    });
    expect(scanner.next(chunk, 6)).toBe(17);
    expect(scanner.frameStart).toBe(11);
    expect(scanner.next(chunk, 17)).toBe(22);
    expect(scanner).toMatchObject({
      frameReady: false,
      payloadRemaining: 0,
      isAtFrameBoundary: true,
      isAtMessageBoundary: true,
    });
  });

  test("stands behind the whole of a control frame", () => {
    const scanner = fromServer();
    expect(scanner.next(ping, 0)).toBe(ping.length);
    expect(scanner).toMatchObject({
      frameReady: true,
      opcode: opcodes.ping,
      payloadLength: 4,
      payloadRemaining: 0,
      isMessageStart: false,
      isAtFrameBoundary: true,
      isAtMessageBoundary: true,
    });
    expect(scanner.controlPayload(ping).toString()).toBe("weir");
  });

  test("steps over a payload that spans chunks", () => {
    const scanner = fromServer();
    const frame = encodeFrame({ opcode: opcodes.binary, payload: Buffer.alloc(1000) });
    expect(scanner.next(frame.subarray(0, 100), 0)).toBe(4);
    expect(scanner.next(frame.subarray(0, 100), 4)).toBe(100);
    expect(scanner).toMatchObject({ frameReady: false, payloadRemaining: 904, isAtFrameBoundary: false });
    const rest = Buffer.concat([frame.subarray(100), ping]);
    expect(scanner.next(rest, 0)).toBe(rest.length);
    expect(scanner).toMatchObject({ frameReady: true, frameStart: 904, opcode: opcodes.ping });
  });

  test("sums the payload of a message over its fragments, control frames left out", () => {
    const scanner = fromServer(0x40);
    const chunk = Buffer.concat([
      encodeFrame({ opcode: opcodes.binary, payload: "abc", fin: false, rsv: 4 }),
      ping,
      encodeFrame({ opcode: opcodes.continuation, payload: "", fin: false }),
      encodeFrame({ opcode: opcodes.continuation, payload: "de" }),
      hello,
    ]);
    const seen: unknown[] = [];
    for (let at = scanner.next(chunk, 0); scanner.frameReady; at = scanner.next(chunk, at)) {
      const { messageLength, messageOpcode, isMessageStart, rsv1, isAtMessageBoundary } = scanner;
      seen.push([messageLength, messageOpcode, isMessageStart, rsv1, isAtMessageBoundary]);
    }
    expect(seen).toEqual([
      [3, opcodes.binary, true, true, false],
      [3, opcodes.binary, false, false, false],
      [3, opcodes.binary, false, false, false],
      [5, opcodes.binary, false, false, false],
      [5, opcodes.text, true, false, false],
    ]);
    expect(scanner.isAtMessageBoundary).toBe(true);
  });

  test("calls the place behind an empty last frame a boundary", () => {
    const scanner = fromServer();
    scanner.next(encodeFrame({ opcode: opcodes.text }), 0);
    expect(scanner).toMatchObject({ isAtFrameBoundary: true, isAtMessageBoundary: true });
  });

  test("counts a carry as a boundary, since nothing of it was forwarded", () => {
    const scanner = fromServer();
    expect(scanner.next(Buffer.of(0x81), 0)).toBe(0);
    expect(scanner).toMatchObject({ carryLength: 1, isAtFrameBoundary: true, isAtMessageBoundary: true });
  });

  test("stays where the first bad frame begins", () => {
    const scanner = fromServer();
    const chunk = Buffer.concat([hello, Buffer.of(0x83, 0x00)]);
    const at = scanner.next(chunk, scanner.next(chunk, 0));
    const { error } = scanner;
    expect(at).toBe(hello.length);
    expect(error).toMatchObject({ name: "ProtocolError", code: "bad_opcode", closeCode: 1002 });
    expect(scanner.next(chunk, at)).toBe(at);
    expect(scanner.next(scanner.feed(hello), 0)).toBe(0);
    expect(scanner).toMatchObject({ frameReady: false, carryLength: 0, error });
  });

  test("refuses a frame whose first bytes were carried at the offset where it begins", () => {
    const scanner = fromServer();
    const chunk = Buffer.concat([hello, Buffer.of(0x82)]);
    expect(scanner.next(chunk, scanner.next(chunk, 0))).toBe(hello.length);
    const fed = scanner.feed(maskedHello.subarray(1));
    expect(scanner.next(fed, 0)).toBe(0);
    expect(scanner.error?.code).toBe("mask_forbidden");
  });
});

test("controlPayload unmasks a copy and leaves the chunk as it is", () => {
  const scanner = fromClient();
  const chunk = encodeFrame({ opcode: opcodes.close, payload: Buffer.from("03e8627965", "hex"), maskingKey });
  const before = Buffer.from(chunk);
  scanner.next(chunk, 0);
  expect(scanner.controlPayload(chunk).toString("hex")).toBe("03e8627965");
  expect(chunk).toEqual(before);
});
