// The thread that loader.ts starts: waits for one order, loads the configuration or takes the one that it is
// given, compares it with the one that runs, says what came of it, and ends.

import { parentPort } from "node:worker_threads";
import { type Comparison, compareConfigs } from "./changes.ts";
import { loadConfigFile } from "./load.ts";
import type { CompareOrder, LoadOrder, Reading, ThreadOrder } from "./loader.ts";
import { veil } from "./veil.ts";

parentPort?.once("message", (order: ThreadOrder) => {
  parentPort?.postMessage(order.kind === "load" ? load(order) : compare(order));
});

function load({ file, env, running }: LoadOrder): Reading {
  const loaded = loadConfigFile(file, env, "run");
  return loaded.ok ? { ...loaded, comparison: compareConfigs(running, loaded.config) } : loaded;
}

function compare({ given, running }: CompareOrder): Comparison {
  return compareConfigs(veil(running, given.salt).config, given.config);
}
