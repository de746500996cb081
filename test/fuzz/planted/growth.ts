// A target that keeps 8 KiB of each iteration.

import type { FuzzTarget } from "../target.ts";

const kept: Buffer[] = [];

export const target: FuzzTarget = {
  seeds: [Buffer.from("seed")],
  words: [],
  run: () => void kept.push(Buffer.alloc(8 * 1024)),
};
