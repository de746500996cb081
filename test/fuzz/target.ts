// What a fuzz target is, and the input of any of its iterations: for the thread that runs it, and for who
// wants to see again what it ran.

import { type Corpus, mutate } from "./mutate.ts";
import { Random } from "./random.ts";

export interface FuzzTarget extends Corpus {
  /**
   * Reads one input, and throws or rejects where a law is broken. Whatever is left to chance comes from
   * `random`, so that an iteration can be had again.
   */
  run(input: Buffer, random: Random): void | Promise<void>;
}

/** Its file has it as `target`. */
export async function loadTarget(url: string): Promise<FuzzTarget> {
  const { target } = (await import(url)) as { readonly target: FuzzTarget };
  return target;
}

/** The input, and chance as it goes on from there. */
export function iterationOf(
  target: FuzzTarget,
  seed: number,
  iteration: number,
): { readonly input: Buffer; readonly random: Random } {
  const random = new Random(seed, iteration);
  return { input: mutate(target, random), random };
}
