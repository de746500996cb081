// A target that breaks, by a throw in a timer, on one input in a hundred.

import type { FuzzTarget } from "../target.ts";

export const target: FuzzTarget = {
  seeds: [Buffer.from("seed")],
  words: [],
  async run(_input, random) {
    if (!random.oneIn(100)) return;
    await new Promise(() => {
      setTimeout(() => {
        throw new Error("planted crash");
      });
    });
  },
};
