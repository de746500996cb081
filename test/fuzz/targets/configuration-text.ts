// A configuration as text: YAML with its traps, units, addresses, patterns, references to the environment
// and to files.

import { loadConfig } from "../../../src/config/load.ts";
import { checkLoaded, FUZZED_FILE } from "../configuration-laws.ts";
import { readConfigurations, readSeeds } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

const FILES: Readonly<Record<string, string>> = {
  "/fuzz/secret": "a secret of at least thirty-two bytes\n",
  "/fuzz/backends.yaml": '- "ws://c:1"\n- { id: d, url: "ws://d:1" }\n',
};

const ENV = { SECRET: "a secret of at least thirty-two bytes", NAME: "name" };

export const target: FuzzTarget = {
  seeds: readConfigurations(),
  words: readSeeds("configuration-words").words,
  isText: true,
  run,
};

function run(input: Buffer): void {
  const text = input.toString();
  const loaded = loadConfig({ text, file: FUZZED_FILE, env: ENV, readFile });
  checkLoaded(loaded, text.split("\n").length);
}

function readFile(path: string): string {
  const text = FILES[path];
  if (text === undefined) throw new Error("ENOENT: no such file or directory");
  return text;
}
