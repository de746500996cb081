// A target whose law holds for inputs without a zero byte only.

import assert from "node:assert/strict";
import type { FuzzTarget } from "../target.ts";

export const target: FuzzTarget = {
  seeds: [Buffer.from("seed")],
  words: [],
  run: (input) => assert(!input.includes(0), "planted law"),
};
