// Reads the seeds of a target from a file that people can read as well.

import { readFileSync } from "node:fs";

/**
 * `# what it is` begins a seed; each further line of it is a JSON string, one character a byte, or bytes in
 * hex with spaces anywhere. Words stand below a line `## words`, one a line.
 */
export function readSeeds(name: string): { readonly seeds: Buffer[]; readonly words: Buffer[] } {
  const [seeds = "", words = ""] = readText(`${name}.txt`).split("## words\n");
  return {
    seeds: seeds
      .split(/^# .*\n/m)
      .slice(1)
      .map((lines) => Buffer.concat(readLines(lines))),
    words: readLines(words),
  };
}

/** Small configurations, and one with every key. */
export function readConfigurations(): Buffer[] {
  const everyKey = readFileSync(new URL("../unit/config/every-key.yaml", import.meta.url), "utf8");
  const small = readText("configuration.yaml").split(/^---\n/m);
  return [everyKey, ...small].map((text) => Buffer.from(text));
}

function readLines(lines: string): Buffer[] {
  return lines
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(readLine);
}

function readLine(line: string): Buffer {
  if (line.startsWith('"')) return Buffer.from(JSON.parse(line) as string, "latin1");
  const hex = line.replaceAll(" ", "");
  const bytes = Buffer.from(hex, "hex");
  if (2 * bytes.length !== hex.length) throw new Error(`neither a string nor hex: ${line}`);
  return bytes;
}

function readText(file: string): string {
  return readFileSync(new URL(`./seeds/${file}`, import.meta.url), "utf8");
}
