// The thread that a campaign runs its target in: one iteration after the other, with its number where the
// campaign can see it even while the thread is stuck.

import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { runInNewContext } from "node:vm";
import type { CampaignOrder, CampaignNews } from "./campaign.ts";
import { iterationOf, loadTarget } from "./target.ts";

/** Turns that streams, timers and finalizers of what is over may still take. */
const TURNS_TO_SETTLE = 20;

/** By then code is compiled and caches are filled: what comes later, stays. */
const WARM_UP = 1_000;

/** A thread that never waits would not hear of anything. */
const ITERATIONS_PER_TURN = 64;

const order = workerData as CampaignOrder;
const progress = new Int32Array(order.progress);

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

tell(await run());

async function run(): Promise<CampaignNews> {
  const target = await loadTarget(order.target);
  const { seed, from, iterations } = order;
  const warmUpEnd = from + Math.min(WARM_UP, Math.floor(iterations / 2));
  let heapBefore = 0;
  for (let iteration = from; iteration < from + iterations; iteration++) {
    if (iteration === warmUpEnd) heapBefore = await heapInUse();
    Atomics.store(progress, 0, iteration);
    const { input, random } = iterationOf(target, seed, iteration);
    try {
      const running = target.run(input, random);
      if (running !== undefined) await running;
    } catch (error) {
      return {
        type: "failed",
        reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
      };
    }
    if (iteration % ITERATIONS_PER_TURN === 0) await turn();
  }
  return { type: "done", heapBefore, heapAfter: await heapInUse() };
}

/** Bytes that are still held, JavaScript's and those of buffers. */
async function heapInUse(): Promise<number> {
  for (let turns = 0; turns < TURNS_TO_SETTLE; turns++) await turn();
  collectGarbage();
  await turn();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function tell(news: CampaignNews): void {
  parentPort?.postMessage(news);
}
