// Loads and compares configurations, each in a thread of its own: a thousand backends take long enough to be
// felt by whoever waits for the main thread, which here pays for the copies only.

import { Worker } from "node:worker_threads";
import type { Comparison } from "./changes.ts";
import type { InvalidConfig, LoadedConfig } from "./load.ts";
import type { Config } from "./schema.ts";
import type { VeiledConfig } from "./veil.ts";

export interface LoadOrder {
  readonly file: string;
  /** What `${NAME}` is filled in from. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the new one is compared with. */
  readonly running: Config;
}

export interface CompareOrder {
  readonly given: VeiledConfig;
  readonly running: Config;
}

/** What `loadConfigFile` says, and what is new about it. */
export type Reading = InvalidConfig | (LoadedConfig & { readonly comparison: Comparison });

/** What a thread is told to do, once. */
export type ThreadOrder =
  | ({ readonly kind: "load" } & LoadOrder)
  | ({ readonly kind: "compare" } & CompareOrder);

interface LoadThread {
  readonly worker: Worker;
  readonly answer: Promise<unknown>;
}

export class Loader {
  #prepared: LoadThread | null = null;

  /**
   * Starts the thread of the next load ahead of it: most of the time of a load goes into that. Where the
   * system has no thread to give now, the load itself will try again, and say so.
   */
  prepare(): void {
    if (this.#prepared !== null) return;
    try {
      this.#prepared = startThread();
    } catch {
      this.#prepared = null;
    }
  }

  /** Rejects where the thread itself fails, for lack of memory say. */
  async load(order: LoadOrder): Promise<Reading> {
    return (await this.#run({ kind: "load", ...order })) as Reading;
  }

  /** What is new about a configuration that was read elsewhere. Rejects as `load` does. */
  async compare(order: CompareOrder): Promise<Comparison> {
    return (await this.#run({ kind: "compare", ...order })) as Comparison;
  }

  /** Ends a thread that was prepared in vain. */
  dismiss(): void {
    void this.#prepared?.worker.terminate();
    this.#prepared = null;
  }

  async #run(order: ThreadOrder): Promise<unknown> {
    const { worker, answer } = this.#prepared ?? startThread();
    this.#prepared = null;
    worker.postMessage(order);
    return await answer;
  }
}

function startThread(): LoadThread {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const worker = new Worker(new URL(`./load-worker${extension}`, import.meta.url), { name: "weir-load" });
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  worker.once("message", resolve);
  worker.once("error", reject);
  worker.once("exit", () => reject(new Error("the thread that loads the configuration ended")));
  // One that was prepared may end with nobody waiting for it.
  promise.catch(() => {});
  return { worker, answer: promise };
}
