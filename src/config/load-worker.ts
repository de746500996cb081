// The thread that loader.ts starts: waits for one order, loads the configuration, compares it with the one
// that runs, says what came of it, and ends.

import { parentPort } from "node:worker_threads";
import { compareConfigs } from "./changes.ts";
import { loadConfigFile } from "./load.ts";
import type { LoadOrder, Reading } from "./loader.ts";

parentPort?.once("message", ({ file, env, running }: LoadOrder) => {
  const loaded = loadConfigFile(file, env);
  const reading: Reading = loaded.ok
    ? { ...loaded, comparison: compareConfigs(running, loaded.config) }
    : loaded;
  parentPort?.postMessage(reading);
});
