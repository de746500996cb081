// Random, valid streams of one direction, and random ways to cut them into packets: what the relay's
// property tests send. Built with frames.ts, so that Weir's own frame code is not its own judge.
import * as fc from "fast-check";

import { encodeFrame, opcodes } from "./frames.ts";

/** Everything that one peer sends on a connection, and how many messages that is. */
export interface FrameStream {
  readonly bytes: Buffer;
  readonly messages: number;
}

interface FrameStreamOptions {
  /** True from client to backend. */
  readonly masked: boolean;
  /** True where permessage-deflate was agreed on: some messages then begin with RSV1. */
  readonly compressed: boolean;
}

interface Control {
  readonly opcode: number;
  readonly length: number;
}

interface Fragment {
  readonly length: number;
  /** Control frames right before it, so between the fragments of a message too. */
  readonly controls: readonly Control[];
}

interface Message {
  readonly opcode: number;
  readonly compressed: boolean;
  readonly fragments: readonly Fragment[];
}

const dataLength = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 125 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, 125, 126, 127, 65_535, 65_536) },
  { weight: 2, arbitrary: fc.integer({ min: 126, max: 3_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 65_536, max: 200_000 }) },
);

const control = fc.record({
  opcode: fc.constantFrom(opcodes.ping, opcodes.pong),
  length: fc.constantFrom(0, 1, 64, 125),
});

const fragment = fc.record({ length: dataLength, controls: fc.array(control, { maxLength: 2 }) });

const message = fc.record({
  opcode: fc.constantFrom(opcodes.text, opcodes.binary),
  compressed: fc.boolean(),
  fragments: fc.array(fragment, { minLength: 1, maxLength: 4 }),
});

export function frameStream(options: FrameStreamOptions): fc.Arbitrary<FrameStream> {
  return fc.array(message, { maxLength: 6 }).map((messages) => ({
    bytes: Buffer.concat(messages.flatMap((each) => encodeMessage(each, options))),
    messages: messages.length,
  }));
}

/** Where to cut, as fractions of the stream's length; small ones fall into its first headers. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 });

/** `bytes` in the packets that `cuts` makes of it; together they are the whole. */
export function cutAt(bytes: Buffer, fractions: readonly number[]): Buffer[] {
  const places = [...new Set(fractions.map((fraction) => Math.floor(fraction * bytes.length)))];
  const ends = [...places.toSorted((a, b) => a - b), bytes.length];
  return ends
    .map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
    .filter(({ length }) => length > 0);
}

function encodeMessage({ opcode, compressed, fragments }: Message, options: FrameStreamOptions): Buffer[] {
  return fragments.flatMap(({ length, controls }, index) => [
    ...controls.map((each) => encode({ opcode: each.opcode, payload: fill(each.length) }, options)),
    encode(
      {
        opcode: index === 0 ? opcode : opcodes.continuation,
        fin: index === fragments.length - 1,
        rsv: index === 0 && compressed && options.compressed ? 4 : 0,
        payload: fill(length),
      },
      options,
    ),
  ]);
}

function encode(spec: Parameters<typeof encodeFrame>[0], { masked }: FrameStreamOptions): Buffer {
  return encodeFrame(masked ? { ...spec, maskingKey: Buffer.of(0x12, 0x34, 0x56, 0x78) } : spec);
}

// Every byte value, so that payload looks like headers to a scanner that has lost its place.
function fill(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 137 + length) & 0xff));
}
