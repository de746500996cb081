// Loads configurations, each in a thread of its own: parsing and comparing a thousand backends takes long
// enough to be felt by whoever waits for the main thread, which here pays for the copies only.

import { Worker } from "node:worker_threads";
import type { Comparison } from "./changes.ts";
import type { InvalidConfig, LoadedConfig } from "./load.ts";
import type { Config } from "./schema.ts";

export interface LoadOrder {
  readonly file: string;
  /** What `${NAME}` is filled in from. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the new one is compared with. */
  readonly running: Config;
}

/** What `loadConfigFile` says, and what is new about it. */
export type Reading = InvalidConfig | (LoadedConfig & { readonly comparison: Comparison });

interface LoadThread {
  readonly worker: Worker;
  readonly reading: Promise<Reading>;
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
    const { worker, reading } = this.#prepared ?? startThread();
    this.#prepared = null;
    worker.postMessage(order);
    return await reading;
  }

  /** Ends a thread that was prepared in vain. */
  dismiss(): void {
    void this.#prepared?.worker.terminate();
    this.#prepared = null;
  }
}

function startThread(): LoadThread {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const worker = new Worker(new URL(`./load-worker${extension}`, import.meta.url), { name: "weir-load" });
  const { promise, resolve, reject } = Promise.withResolvers<Reading>();
  worker.once("message", resolve);
  worker.once("error", reject);
  worker.once("exit", () => reject(new Error("the thread that loads the configuration ended")));
  // One that was prepared may end with nobody waiting for it.
  promise.catch(() => {});
  return { worker, reading: promise };
}
