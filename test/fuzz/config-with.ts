// A small configuration for targets that need one.

import assert from "node:assert/strict";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

/** One pool whose backends nobody will reach. */
export function configWith(more: Readonly<Record<string, unknown>>): Config {
  const text = JSON.stringify({
    listeners: [":0"],
    pools: { chat: { backends: ["ws://127.0.0.1:1"] } },
    ...more,
  });
  const loaded = loadConfig({ text, file: "fuzz.yaml", env: {} });
  assert(loaded.ok, JSON.stringify(loaded));
  return loaded.config;
}
