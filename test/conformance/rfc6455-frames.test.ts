// RFC 6455 §5 as tables in hex. Each stream is read whole, byte by byte, and cut in two at every
// offset: the answer must not depend on where a socket cuts it.

import { describe, expect, test } from "vitest";
import type { FrameScannerOptions } from "../../src/ws/frame-scanner.ts";
import type { ProtocolErrorCode } from "../../src/ws/protocol.ts";
import { cut, cutIntoBytes, type FrameRecord, recordFrames } from "./frame-record.ts";

const fromServer: FrameScannerOptions = { masked: false, reservedBits: 0x00 };
const fromClient: FrameScannerOptions = { masked: true, reservedBits: 0x00 };
const deflate: FrameScannerOptions = { masked: false, reservedBits: 0x40 };
const unknownExtension: FrameScannerOptions = { masked: false, reservedBits: 0x70 };

const zeros = (count: number): string => "00".repeat(count);

/** `opcode:length`, a `+` behind it when more fragments follow, and for control frames the payload. */
function framesOf(record: FrameRecord): string[] {
  return record.frames.map(({ opcode, payloadLength, fin, payload }) => {
    const frame = `${opcode.toString(16)}:${payloadLength}${fin ? "" : "+"}`;
    return payload === null ? frame : `${frame} ${payload}`;
  });
}

function recordEveryCut(options: FrameScannerOptions, stream: Buffer): FrameRecord[] {
  const records = [recordFrames(options, [stream]), recordFrames(options, cutIntoBytes(stream))];
  for (let offset = 1; offset < stream.length; offset++) {
    records.push(recordFrames(options, cut(stream, [offset])));
  }
  return records;
}

const HELLO = "48656c6c6f";
const PING = `8905${HELLO}`;

interface ValidCase {
  readonly name: string;
  readonly options: FrameScannerOptions;
  readonly hex: string;
  readonly frames: readonly string[];
}

const valid: ValidCase[] = [
  { name: "§5.7 unmasked text", options: fromServer, hex: `8105${HELLO}`, frames: ["1:5"] },
  { name: "§5.7 masked text", options: fromClient, hex: "818537fa213d7f9f4d5158", frames: ["1:5"] },
  {
    name: "§5.7 fragmented unmasked text",
    options: fromServer,
    hex: "010348656c80026c6f",
    frames: ["1:3+", "0:2"],
  },
  { name: "§5.7 unmasked Ping", options: fromServer, hex: PING, frames: [`9:5 ${HELLO}`] },
  {
    name: "§5.7 masked Pong",
    options: fromClient,
    hex: "8a8537fa213d7f9f4d5158",
    frames: [`a:5 ${HELLO}`],
  },
  {
    name: "§5.7 256 bytes of binary, length in 16 bits",
    options: fromServer,
    hex: `827e0100${zeros(256)}`,
    frames: ["2:256"],
  },
  {
    name: "§5.7 64 KiB of binary: the header, length in 64 bits",
    options: fromServer,
    hex: "827f0000000000010000",
    frames: ["2:65536"],
  },
  { name: "§5.2 empty text", options: fromServer, hex: "8100", frames: ["1:0"] },
  { name: "§5.2 empty masked binary", options: fromClient, hex: "828001020304", frames: ["2:0"] },
  { name: "§5.2 125 bytes in 7 bits", options: fromServer, hex: `817d${zeros(125)}`, frames: ["1:125"] },
  { name: "§5.2 126 bytes in 16 bits", options: fromServer, hex: `817e007e${zeros(126)}`, frames: ["1:126"] },
  { name: "§5.2 the longest in 16 bits", options: fromServer, hex: "817effff", frames: ["1:65535"] },
  {
    name: "§5.2 masked, length in 16 bits",
    options: fromClient,
    hex: `82fe007e01020304${zeros(126)}8180ffffffff`,
    frames: ["2:126", "1:0"],
  },
  {
    name: "§5.2 a length of 2^53 - 1",
    options: fromClient,
    hex: "82ff001fffffffffffff01020304aa",
    frames: [`2:${Number.MAX_SAFE_INTEGER}`],
  },
  ...[16, 24, 32, 40, 48, 52].map((power): ValidCase => ({
    name: `§5.2 a length of 2^${power}`,
    options: fromServer,
    hex: `827f${(2n ** BigInt(power)).toString(16).padStart(16, "0")}`,
    frames: [`2:${2 ** power}`],
  })),
  {
    name: "§5.4 a control frame between fragments",
    options: fromServer,
    hex: `010348656c${PING}80026c6f`,
    frames: ["1:3+", `9:5 ${HELLO}`, "0:2"],
  },
  {
    name: "§5.4 three fragments, empty ones among them",
    options: fromServer,
    hex: "0200000101800081026869",
    frames: ["2:0+", "0:1+", "0:0", "1:2"],
  },
  {
    name: "§5.5 a control frame of 125 bytes",
    options: fromServer,
    hex: `8a7d${zeros(125)}`,
    frames: [`a:125 ${zeros(125)}`],
  },
  { name: "§5.5.1 Close without a code", options: fromServer, hex: "8800", frames: ["8:0 "] },
  { name: "§5.5.1 Close 1000", options: fromServer, hex: "880203e8", frames: ["8:2 03e8"] },
  {
    name: "§5.5.1 masked Close 1001 with a reason",
    options: fromClient,
    hex: "88850102030402eb617d64",
    frames: ["8:5 03e9627965"],
  },
  {
    name: "RFC 7692 §7.2.3 compressed text, RSV1",
    options: deflate,
    hex: "c107f248cdc9c90700",
    frames: ["1:7"],
  },
  {
    name: "RFC 7692 §7.2.3.1 compressed fragments, RSV1 on the first only",
    options: deflate,
    hex: "4103f248cd8004c9c90700",
    frames: ["1:3+", "0:4"],
  },
  {
    name: "RFC 7692 §6 an uncompressed message among compressed ones",
    options: deflate,
    hex: `c107f248cdc9c907008105${HELLO}`,
    frames: ["1:7", "1:5"],
  },
  {
    name: "§5.8 an unknown extension marks any data frame",
    options: unknownExtension,
    hex: "710100f00100",
    frames: ["1:1+", "0:1"],
  },
  {
    name: "§5.4 messages back to back",
    options: fromClient,
    hex: "8180000000008281010203040582860102030400000000000089800a0b0c0d",
    frames: ["1:0", "2:1", "2:6", "9:0 "],
  },
];

describe("accepts", () => {
  test.each(valid)("$name", ({ options, hex, frames }) => {
    for (const record of recordEveryCut(options, Buffer.from(hex, "hex"))) {
      expect(record.errorCode).toBeNull();
      expect(framesOf(record)).toEqual(frames);
      expect(record.forwarded).toBe(hex);
      expect(record.carryLength).toBe(0);
    }
  });
});

interface InvalidCase {
  readonly name: string;
  readonly options: FrameScannerOptions;
  /** Sound frames that must still be forwarded. */
  readonly before?: string;
  /** The bad frame up to the byte that proves it bad. */
  readonly bad: string;
  readonly error: ProtocolErrorCode;
}

const text = `8105${HELLO}`;
const maskedText = "818537fa213d7f9f4d5158";
const fragment = "010348656c";

const invalid: InvalidCase[] = [
  {
    name: "§5.2 RSV1 without an extension",
    options: fromServer,
    before: text,
    bad: "c1",
    error: "reserved_bits",
  },
  { name: "§5.2 RSV2 without an extension", options: fromServer, bad: "a1", error: "reserved_bits" },
  { name: "§5.2 RSV3 without an extension", options: fromServer, bad: "91", error: "reserved_bits" },
  { name: "§5.2 RSV2 where only RSV1 is agreed", options: deflate, bad: "e1", error: "reserved_bits" },
  {
    name: "RFC 7692 §6.1 RSV1 on a continuation",
    options: deflate,
    before: "4103f248cd",
    bad: "c0",
    error: "reserved_bits",
  },
  {
    name: "RFC 7692 §6.1 RSV1 on a control frame",
    options: deflate,
    before: text,
    bad: "c9",
    error: "reserved_bits",
  },
  { name: "§5.2 RSV3 on a control frame", options: unknownExtension, bad: "98", error: "reserved_bits" },
  ...["3", "4", "5", "6", "7", "b", "c", "d", "e", "f"].map((opcode): InvalidCase => ({
    name: `§5.2 opcode ${opcode} is reserved`,
    options: fromServer,
    before: text,
    bad: `8${opcode}`,
    error: "bad_opcode",
  })),
  {
    name: "§5.5 Ping without FIN",
    options: fromServer,
    before: text,
    bad: "09",
    error: "control_fragmented",
  },
  {
    name: "§5.5 Close without FIN",
    options: fromClient,
    before: maskedText,
    bad: "08",
    error: "control_fragmented",
  },
  {
    name: "§5.5 Pong without FIN between fragments",
    options: fromServer,
    before: fragment,
    bad: "0a",
    error: "control_fragmented",
  },
  {
    name: "§5.5 Ping of 126 bytes",
    options: fromServer,
    before: text,
    bad: "897e",
    error: "control_too_long",
  },
  {
    name: "§5.5 masked Close with a 64-bit length",
    options: fromClient,
    bad: "88ff",
    error: "control_too_long",
  },
  { name: "§5.4 continuation of nothing", options: fromServer, bad: "80", error: "unexpected_continuation" },
  {
    name: "§5.4 continuation after a whole message",
    options: fromServer,
    before: text,
    bad: "00",
    error: "unexpected_continuation",
  },
  {
    name: "§5.4 continuation after the last fragment",
    options: fromServer,
    before: `${fragment}80026c6f`,
    bad: "80",
    error: "unexpected_continuation",
  },
  {
    name: "§5.4 text inside a fragmented message",
    options: fromServer,
    before: fragment,
    bad: "81",
    error: "expected_continuation",
  },
  {
    name: "§5.4 binary inside a fragmented message, after a Ping",
    options: fromServer,
    before: `${fragment}${PING}`,
    bad: "02",
    error: "expected_continuation",
  },
  {
    name: "§5.1 unmasked text from a client",
    options: fromClient,
    before: maskedText,
    bad: "8105",
    error: "mask_required",
  },
  { name: "§5.1 unmasked Ping from a client", options: fromClient, bad: "8900", error: "mask_required" },
  {
    name: "§5.1 unmasked long frame from a client",
    options: fromClient,
    bad: "827e",
    error: "mask_required",
  },
  {
    name: "§5.1 masked text from a server",
    options: fromServer,
    before: text,
    bad: "8185",
    error: "mask_forbidden",
  },
  {
    name: "§5.1 masked Close from a server",
    options: fromServer,
    before: text,
    bad: "8882",
    error: "mask_forbidden",
  },
  {
    name: "§5.2 125 bytes in 16 bits",
    options: fromServer,
    before: text,
    bad: "817e007d",
    error: "length_not_minimal",
  },
  {
    name: "§5.2 0 bytes in 16 bits",
    options: fromClient,
    before: maskedText,
    bad: "82fe0000",
    error: "length_not_minimal",
  },
  {
    name: "§5.2 65535 bytes in 64 bits",
    options: fromServer,
    before: text,
    bad: "817f000000000000",
    error: "length_not_minimal",
  },
  {
    name: "§5.2 the top bit of a 64-bit length",
    options: fromServer,
    before: text,
    bad: "827f80",
    error: "length_too_large",
  },
  { name: "a length of 2^56", options: fromClient, bad: "82ff01", error: "length_too_large" },
  { name: "a length of 2^53", options: fromServer, before: text, bad: "827f0020", error: "length_too_large" },
];

describe("refuses", () => {
  test.each(invalid)("$name", ({ options, before = "", bad, error }) => {
    const proof = Buffer.from(before + bad, "hex");
    // What follows the proof must not matter.
    for (const stream of [proof, Buffer.concat([proof, Buffer.alloc(20, 0x81)])]) {
      for (const record of recordEveryCut(options, stream)) {
        expect(record.errorCode).toBe(error);
        expect(record.forwarded).toBe(before);
      }
    }
  });

  test.each(invalid)("nothing before the byte that proves it: $name", ({ options, before = "", bad }) => {
    const stream = Buffer.from(before + bad.slice(0, -2), "hex");
    for (const record of recordEveryCut(options, stream)) expect(record.errorCode).toBeNull();
  });
});

const incomplete = [
  { name: "a first byte", options: fromServer, before: text, rest: "81" },
  { name: "a header short of its mask", options: fromClient, before: maskedText, rest: "8185010203" },
  {
    name: "a header short of its 64-bit length",
    options: fromServer,
    before: text,
    rest: "827f00000000000100",
  },
  { name: "a Ping short of one byte", options: fromServer, before: text, rest: PING.slice(0, -2) },
  {
    name: "a masked Close of 125 bytes short of one",
    options: fromClient,
    before: "",
    rest: `88fd01020304${zeros(124)}`,
  },
];

describe("holds back", () => {
  test.each(incomplete)("$name", ({ options, before, rest }) => {
    for (const record of recordEveryCut(options, Buffer.from(before + rest, "hex"))) {
      expect(record.errorCode).toBeNull();
      expect(record.forwarded).toBe(before);
      expect(record.carryLength).toBe(rest.length / 2);
    }
  });
});
