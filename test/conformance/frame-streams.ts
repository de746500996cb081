// Random WebSocket streams of one direction: sound ones, sound ones with damage done to them, and
// sequences of frames that need not make sense.

import * as fc from "fast-check";
import { closePayload, encodeFrame, type FrameSpec, opcodes } from "../support/frames.ts";

export interface Direction {
  /** From client to server. */
  readonly masked: boolean;
  /** permessage-deflate has been agreed. */
  readonly deflate: boolean;
}

export interface RandomStream {
  readonly direction: Direction;
  readonly frames: readonly Buffer[];
}

const RSV1 = 4;

const direction: fc.Arbitrary<Direction> = fc.record({ masked: fc.boolean(), deflate: fc.boolean() });

const maskingKey = bytes(4, 4);

/** Around every border of the length encoding. */
const payload = fc
  .tuple(
    fc.oneof(
      { weight: 40, arbitrary: fc.nat(20) },
      { weight: 8, arbitrary: fc.constantFrom(0, 1, 124, 125, 126, 127, 255, 256) },
      { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536, 65_537) },
    ),
    bytes(1, 3),
  )
  .map(([length, pattern]) => Buffer.alloc(length, pattern));

/** A frame but for its masking, which the direction decides. */
type Unmasked = FrameSpec & { readonly maskingKey: Buffer };

const control: fc.Arbitrary<Unmasked> = fc.record({
  opcode: fc.constantFrom(opcodes.ping, opcodes.pong),
  payload: fc.oneof(fc.constant(Buffer.alloc(0)), bytes(0, 125)),
  maskingKey,
});

const controls = fc.oneof(
  { weight: 3, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(control, { minLength: 1, maxLength: 2 }) },
);

const fragment = fc.record({ payload, maskingKey, controls });

/** The frames of one message, control frames before each of them. */
const message: fc.Arbitrary<Unmasked[]> = fc
  .record({
    opcode: fc.constantFrom(opcodes.text, opcodes.binary),
    compressed: fc.boolean(),
    fragments: fc.oneof(
      { weight: 2, arbitrary: fc.array(fragment, { minLength: 1, maxLength: 1 }) },
      { weight: 1, arbitrary: fc.array(fragment, { minLength: 2, maxLength: 4 }) },
    ),
  })
  .map(({ opcode, compressed, fragments }) =>
    fragments.flatMap(({ payload, maskingKey, controls }, index) => [
      ...controls,
      {
        opcode: index === 0 ? opcode : opcodes.continuation,
        fin: index === fragments.length - 1,
        rsv: index === 0 && compressed ? RSV1 : 0,
        payload,
        maskingKey,
      },
    ]),
  );

const close: fc.Arbitrary<Unmasked> = fc.record({
  opcode: fc.constant(opcodes.close),
  payload: fc.oneof(
    fc.constant(closePayload()),
    fc.constant(Buffer.of(0x03)),
    fc.integer({ min: 990, max: 1020 }).map((code) => closePayload(code, "bye")),
    fc.integer({ min: 0, max: 65_535 }).map((code) => closePayload(code)),
  ),
  maskingKey,
});

/** Whole messages with control frames among them. */
export const soundStream: fc.Arbitrary<RandomStream> = fc
  .record({ direction, messages: fc.array(message, { minLength: 1, maxLength: 6 }) })
  .map(({ direction, messages }) => toStream(direction, messages.flat()));

/** As `soundStream`, with a Close at its end that may have a bad code. */
export const closedStream: fc.Arbitrary<RandomStream> = fc
  .record({ direction, messages: fc.array(message, { maxLength: 3 }), close })
  .map(({ direction, messages, close }) => toStream(direction, [...messages.flat(), close]));

/** Each frame is well formed or nearly so, but their order, bits and lengths are left to chance. */
const senselessStream: fc.Arbitrary<RandomStream> = fc
  .record({
    direction,
    specs: fc.array(
      fc.record(
        {
          opcode: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 0, 1, 1, 2, 8, 9, 10) }, fc.nat(15)),
          fin: fc.boolean(),
          rsv: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(0, 0, 0, RSV1) }, fc.nat(7)),
          payload,
          lengthForm: fc.constantFrom(16 as const, 64 as const),
          declaredLength: fc.oneof(
            fc.constantFrom(2n ** 16n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 56n, 2n ** 63n, 2n ** 64n - 1n),
            fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          ),
          maskingKey,
        },
        { requiredKeys: ["opcode", "fin", "rsv", "payload", "maskingKey"] },
      ),
      { minLength: 1, maxLength: 6 },
    ),
  })
  .map(({ direction, specs }) =>
    toStream(
      direction,
      // A length in 64 bits where no less will do.
      specs.map((spec) =>
        spec.declaredLength === undefined && spec.payload.length < 2 ** 16
          ? spec
          : { ...spec, lengthForm: 64 as const },
      ),
    ),
  );

interface Damage {
  readonly kind: "replace" | "flip" | "insert" | "remove";
  /** Which frame, and how far behind its first byte: most damage shall hit headers. */
  readonly frame: number;
  readonly offset: number;
  readonly byte: number;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom("replace", "flip", "insert", "remove"),
  frame: fc.nat(20),
  offset: fc.oneof({ weight: 9, arbitrary: fc.nat(13) }, fc.nat(200)),
  byte: fc.nat(255),
});

const damagedStream: fc.Arbitrary<RandomStream> = fc
  .tuple(fc.oneof(soundStream, closedStream), fc.array(damage, { minLength: 1, maxLength: 3 }))
  .map(([{ direction, frames }, damages]) => ({
    direction,
    frames: [
      damages.reduce<Buffer>((stream, damage) => inflict(stream, damage, frames), Buffer.concat(frames)),
    ],
  }));

export const brokenStream: fc.Arbitrary<RandomStream> = fc.oneof(damagedStream, senselessStream);

/** Where to cut a stream, as fractions of its length. */
export const cuts: fc.Arbitrary<number[]> = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), {
  maxLength: 12,
});

export function offsetsOf(cuts: readonly number[], stream: Buffer): number[] {
  return cuts.map((cut) => Math.floor(cut * stream.length));
}

function toStream(direction: Direction, specs: readonly Unmasked[]): RandomStream {
  const frames = specs.map(({ maskingKey, ...spec }) => {
    const sent = { ...spec, rsv: direction.deflate ? (spec.rsv ?? 0) : (spec.rsv ?? 0) & ~RSV1 };
    return encodeFrame(direction.masked ? { ...sent, maskingKey } : sent);
  });
  return { direction, frames };
}

function inflict(stream: Buffer, { kind, frame, offset, byte }: Damage, frames: readonly Buffer[]): Buffer {
  const frameStart = Buffer.concat(frames.slice(0, frame % frames.length)).length;
  const at = Math.min(frameStart + offset, stream.length - 1);
  const before = stream.subarray(0, at);
  const after = stream.subarray(at + 1);
  const hit = stream.subarray(at, at + 1);
  const replacement = {
    replace: Buffer.of(byte),
    flip: Buffer.from(hit.map((value) => value ^ (1 << (byte % 8)))),
    insert: Buffer.concat([Buffer.of(byte), hit]),
    remove: Buffer.alloc(0),
  }[kind];
  return Buffer.concat([before, replacement, after]);
}

function bytes(minLength: number, maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
}
