// A target that never comes back from one input in a hundred.

import type { FuzzTarget } from "../target.ts";

export const target: FuzzTarget = {
  seeds: [Buffer.from("seed")],
  words: [],
  run(_input, random) {
    let turns = random.oneIn(100) ? Number.POSITIVE_INFINITY : 1;
    while (turns > 0) turns -= 1;
  },
};
