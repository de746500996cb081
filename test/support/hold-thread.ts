// A thread of a spawned Weir that waits at its start until the test lets it go on: held-thread.ts.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { temporaryFolder } from "./cleanup.ts";
import { until } from "./until.ts";

const preloaded = new URL("held-thread.ts", import.meta.url);

export interface HeldThread {
  /** Of the process whose thread is to be held. */
  readonly env: Readonly<Record<string, string>>;
  /** Resolves once the thread was started, and waits. */
  readonly reached: () => Promise<void>;
  readonly release: () => Promise<void>;
}

/** @param name as Weir calls the thread */
export async function holdThread(name: "weir-load" | "weir-worker-0"): Promise<HeldThread> {
  const place = join(await temporaryFolder(), "thread");
  return {
    env: {
      NODE_OPTIONS: `--import=${preloaded.href}`,
      WEIR_TEST_HELD_THREAD: name,
      WEIR_TEST_HELD_AT: place,
    },
    reached: async () => void (await until(`${name} waits`, () => existsSync(`${place}.reached`))),
    release: async () => await writeFile(`${place}.released`, ""),
  };
}
