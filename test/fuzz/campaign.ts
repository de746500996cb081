// Runs so many iterations of a target in a thread of its own, and says what came of it: all well, or the
// iteration and input at which it crashed, hung or broke a law, or that memory grew.

import { Worker } from "node:worker_threads";
import { iterationOf, loadTarget } from "./target.ts";

export interface Campaign {
  /** URL of the target's file. */
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly iterations: number;
  /** Milliseconds that one iteration may take; far more than any needs, for machines that are busy. */
  readonly deadlineMs?: number;
}

export interface CampaignOrder extends Campaign {
  /** One 32-bit cell: the iteration under way. */
  readonly progress: SharedArrayBuffer;
}

/** What the thread says in the end. */
export type CampaignNews =
  | { readonly type: "done"; readonly heapBefore: number; readonly heapAfter: number }
  | { readonly type: "failed"; readonly reason: string };

export type Outcome =
  | {
      readonly kind: "passed";
      readonly tookMs: number;
      /** Bytes in use after a garbage collection, once warm and in the end. */
      readonly heapBefore: number;
      readonly heapAfter: number;
    }
  | { readonly kind: "grown"; readonly heapBefore: number; readonly heapAfter: number }
  | {
      readonly kind: "failed";
      readonly iteration: number;
      readonly reason: string;
      readonly input: Buffer;
    };

const DEADLINE_MS = 20_000;
/** Loading the sources is no iteration, and takes long where others have the processor. */
const START_DEADLINE_MS = 120_000;
const NOT_STARTED = -1;
const WATCH_INTERVAL_MS = 200;

/** What one input may make the thread hold: far more than any needs. */
const MAX_HEAP_MIB = 512;

/** What a campaign may leave, however long: a leak of a few bytes an iteration is above it in a million. */
const MAX_GROWTH_BYTES = 4 * 1024 * 1024;

export async function runCampaign(campaign: Campaign): Promise<Outcome> {
  const startedAtMs = performance.now();
  const progress = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const cell = new Int32Array(progress);
  Atomics.store(cell, 0, NOT_STARTED);
  const order: CampaignOrder = { ...campaign, progress };
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
  });
  const { promise, resolve } = Promise.withResolvers<CampaignNews>();
  const fail = (reason: string): void => resolve({ type: "failed", reason });
  const watch = watchProgress(cell, campaign.deadlineMs ?? DEADLINE_MS, fail);
  worker.once("message", resolve);
  worker.once("error", (error: unknown) =>
    fail(error instanceof Error ? (error.stack ?? error.message) : String(error)),
  );
  // A promise that nothing will settle any more leaves a thread without anything to wait for.
  worker.once("exit", () => fail("hangs: the thread ended in the middle of it"));
  const news = await promise;
  clearInterval(watch);
  const iteration = Math.max(campaign.from, Atomics.load(cell, 0));
  await worker.terminate();
  if (news.type === "done") {
    const { heapBefore, heapAfter } = news;
    if (heapAfter - heapBefore > MAX_GROWTH_BYTES) return { kind: "grown", heapBefore, heapAfter };
    return { kind: "passed", tookMs: performance.now() - startedAtMs, heapBefore, heapAfter };
  }
  const { input } = iterationOf(await loadTarget(campaign.target), campaign.seed, iteration);
  return { kind: "failed", iteration, reason: news.reason, input };
}

function watchProgress(cell: Int32Array, deadlineMs: number, fail: (reason: string) => void): NodeJS.Timeout {
  let last = NOT_STARTED;
  let sinceMs = performance.now();
  return setInterval(() => {
    const iteration = Atomics.load(cell, 0);
    const nowMs = performance.now();
    if (iteration !== last) {
      last = iteration;
      sinceMs = nowMs;
    } else if (nowMs - sinceMs > (iteration === NOT_STARTED ? START_DEADLINE_MS : deadlineMs)) {
      fail(`hangs: over ${deadlineMs} ms in one iteration`);
    }
  }, WATCH_INTERVAL_MS);
}
