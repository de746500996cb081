// Makes an input that a parser may stumble over: a seed with a few wounds. Knows bytes only.

import type { Random } from "./random.ts";

/** Beyond this an input says nothing new, and would only cost time. */
const MAX_INPUT_BYTES = 8 * 1024;

const MAX_WOUNDS = 6;

/** Where numbers turn over, and what ends a string, a line or a list in one language or another. */
const NASTY_BYTES = [
  0x00, 0x01, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2c, 0x3a, 0x3b, 0x7e, 0x7f, 0x80, 0xff,
];

export interface Corpus {
  readonly seeds: readonly Buffer[];
  /** Words of the format, to be put in anywhere. */
  readonly words: readonly Buffer[];
  /** Its lines mean something each: most wounds leave them whole. */
  readonly isText?: boolean;
}

type Wound = (input: Buffer, random: Random, corpus: Corpus) => Buffer;

const flipBit: Wound = (input, random) => replaceByte(input, random, (byte) => byte ^ (1 << random.below(8)));

const setByte: Wound = (input, random) => replaceByte(input, random, () => random.below(256));

const setNastyByte: Wound = (input, random) => replaceByte(input, random, () => random.pick(NASTY_BYTES));

const insertBytes: Wound = (input, random) => {
  const bytes = random.oneIn(2) ? Buffer.of(random.pick(NASTY_BYTES)) : random.bytes(1 + random.below(8));
  return splice(input, random.below(input.length + 1), 0, bytes);
};

const insertWord: Wound = (input, random, { words }) =>
  words.length === 0 ? input : splice(input, random.below(input.length + 1), 0, random.pick(words));

const removeRange: Wound = (input, random) => {
  const [start, length] = rangeOf(input, random);
  return splice(input, start, length);
};

const repeatRange: Wound = (input, random) => {
  const [start, length] = rangeOf(input, random);
  const times = random.oneIn(8) ? 1 + random.below(200) : 1;
  const range = input.subarray(start, start + length);
  return splice(input, start, 0, ...Array.from({ length: times }, () => range));
};

const moveRange: Wound = (input, random) => {
  const [start, length] = rangeOf(input, random);
  const without = splice(input, start, length);
  return splice(without, random.below(without.length + 1), 0, input.subarray(start, start + length));
};

const cutShort: Wound = (input, random) => input.subarray(0, random.below(input.length + 1));

/** The head of this one and the tail of another. */
const crossOver: Wound = (input, random, { seeds }) => {
  const other = random.pick(seeds);
  const head = input.subarray(0, random.below(input.length + 1));
  return Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
};

const insertWordAtLine: Wound = (input, random, { words }) =>
  words.length === 0 ? input : splice(input, lineAt(input, random)[0], 0, random.pick(words));

const removeLine: Wound = (input, random) => {
  const [start, length] = lineAt(input, random);
  return splice(input, start, length);
};

const repeatLine: Wound = (input, random) => {
  const [start, length] = lineAt(input, random);
  return splice(input, lineAt(input, random)[0], 0, input.subarray(start, start + length));
};

/** A line of another seed. */
const borrowLine: Wound = (input, random, { seeds }) => {
  const other = random.pick(seeds);
  const [start, length] = lineAt(other, random);
  return splice(input, lineAt(input, random)[0], 0, other.subarray(start, start + length));
};

const LINE_WOUNDS: readonly Wound[] = [
  insertWordAtLine,
  insertWordAtLine,
  removeLine,
  repeatLine,
  borrowLine,
];

const WOUNDS: readonly Wound[] = [
  flipBit,
  setByte,
  setNastyByte,
  insertBytes,
  insertWord,
  insertWord,
  removeRange,
  repeatRange,
  moveRange,
  cutShort,
  crossOver,
];

/** The memory is the caller's own. */
export function mutate(corpus: Corpus, random: Random): Buffer {
  let input = random.pick(corpus.seeds);
  // Half of all have one wound: the more, the less is left of what made sense.
  for (let wound = 0; wound < MAX_WOUNDS; wound++) {
    const wounds = corpus.isText === true && !random.oneIn(4) ? LINE_WOUNDS : WOUNDS;
    input = random.pick(wounds)(input, random, corpus).subarray(0, MAX_INPUT_BYTES);
    if (random.oneIn(2)) break;
  }
  return Buffer.from(input);
}

function replaceByte(input: Buffer, random: Random, replacement: (byte: number) => number): Buffer {
  if (input.length === 0) return input;
  const at = random.below(input.length);
  return splice(input, at, 1, Buffer.of(replacement(input[at] ?? 0)));
}

/** Mostly a few bytes, as the parts of most formats are short. */
function rangeOf(input: Buffer, random: Random): [start: number, length: number] {
  const start = random.below(input.length + 1);
  const most = input.length - start;
  return [start, Math.min(most, random.oneIn(4) ? random.below(most + 1) : 1 + random.below(8))];
}

function lineAt(input: Buffer, random: Random): [start: number, length: number] {
  const start = input.lastIndexOf(0x0a, random.below(input.length + 1)) + 1;
  const end = input.indexOf(0x0a, start);
  return [start, (end === -1 ? input.length : end + 1) - start];
}

function splice(input: Buffer, start: number, length: number, ...pieces: readonly Buffer[]): Buffer {
  return Buffer.concat([input.subarray(0, start), ...pieces, input.subarray(start + length)]);
}
