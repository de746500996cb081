// Weir's own frames, against bytes written down by hand and a decoder that is not ours.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildCloseFrame, buildFrame } from "../../../src/ws/frame-builder.ts";
import { Opcode } from "../../../src/ws/protocol.ts";
import { decodeFrame, type Frame, parseClose } from "../../support/frames.ts";

const maskingKey = Buffer.of(0x37, 0xfa, 0x21, 0x3d);
const hello = Buffer.from("Hello");

function decodeOne(bytes: Buffer): Frame {
  const decoded = decodeFrame(bytes);
  expect(decoded?.length).toBe(bytes.length);
  if (decoded === undefined) throw new Error("no whole frame");
  return decoded.frame;
}

describe("buildFrame", () => {
  test("builds the examples of RFC 6455 §5.7", () => {
    const text = { opcode: Opcode.text, payload: hello };
    expect(buildFrame({ ...text, maskingKey: null }).toString("hex")).toBe("810548656c6c6f");
    expect(buildFrame({ ...text, maskingKey }).toString("hex")).toBe("818537fa213d7f9f4d5158");
    const first = { opcode: Opcode.text, payload: Buffer.from("Hel"), fin: false, maskingKey: null };
    expect(buildFrame(first).toString("hex")).toBe("010348656c");
  });

  const headers: [length: number, header: string][] = [
    [0, "8200"],
    [125, "827d"],
    [126, "827e007e"],
    [65_535, "827effff"],
    [65_536, "827f0000000000010000"],
  ];

  test.each(headers)("encodes a length of %i in as few bytes as it takes", (length, header) => {
    const frame = buildFrame({ opcode: Opcode.binary, payload: Buffer.alloc(length), maskingKey: null });
    expect(frame.subarray(0, header.length / 2).toString("hex")).toBe(header);
    expect(frame).toHaveLength(header.length / 2 + length);
  });

  test("is read back as what it was built from, and leaves that as it was", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(Opcode)),
        fc.boolean(),
        fc.uint8Array({ maxLength: 300 }),
        fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 })),
        (opcode, fin, payload, maskingKey) => {
          const original = Buffer.from(payload);
          const frame = decodeOne(buildFrame({ opcode, payload, fin, maskingKey }));
          expect(frame).toEqual({ fin, rsv: 0, opcode, masked: maskingKey !== null, payload: original });
          expect(Buffer.from(payload)).toEqual(original);
        },
      ),
    );
  });
});

describe("buildCloseFrame", () => {
  test("carries code and reason", () => {
    const frame = decodeOne(buildCloseFrame({ code: 1001, reason: "server shutting down", maskingKey }));
    expect(frame).toMatchObject({ fin: true, opcode: Opcode.close, masked: true });
    expect(parseClose(frame)).toEqual({ code: 1001, reason: "server shutting down" });
  });

  test("is empty for 1005, which must not be sent", () => {
    expect(buildCloseFrame({ code: 1005, reason: "", maskingKey: null }).toString("hex")).toBe("8800");
  });

  test("cuts the reason to what fits, between characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 200, size: "max" }), (reason) => {
        const frame = decodeOne(buildCloseFrame({ code: 1000, reason, maskingKey: null }));
        const { reason: sent } = parseClose(frame);
        const next = String.fromCodePoint(reason.codePointAt(sent.length) ?? 0);
        expect(reason.startsWith(sent)).toBe(true);
        expect(frame.payload.length).toBeLessThanOrEqual(125);
        expect(sent === reason || frame.payload.length + Buffer.byteLength(next) > 125).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
