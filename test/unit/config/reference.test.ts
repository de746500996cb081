// The README's reference is what the schema says, and what the README and the example name exists.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";
import { referenceMarkdown, withReference } from "../../../src/config/reference.ts";
import { keyEntries } from "../../../src/config/schema-tree.ts";

const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");

test("README.md holds the reference as it is now (else: node docs/write-reference.ts)", () => {
  expect(readme === withReference(readme)).toBe(true);
});

test("the reference names every key once", () => {
  const keys = [...referenceMarkdown().matchAll(/^\| `([^`]+)` \|/gm)].map(([, key]) => key);
  expect(keys).toEqual([...new Set(keys)]);
  expect(new Set(keys)).toEqual(new Set(keyEntries().map(({ path }) => path)));
});

test("the reference gives each key a type and a meaning", () => {
  const rows = referenceMarkdown()
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const cells = rows.map((row) => row.split(/ (?<!\\)\| /));
  expect(cells.filter((row) => row.length !== 4 || row.some((cell) => /^[|\s]*$/.test(cell)))).toEqual([]);
  expect(rows.filter((row) => /undefined|\[object/.test(row))).toEqual([]);
});

test("a text without its markers is refused", () => {
  expect(() => withReference("# Weir")).toThrow("no <!-- reference:begin -->");
});

describe("README.md", () => {
  const blocks = [...readme.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = ""]) => yaml);
  const whole = blocks.filter((yaml) => /^listeners:/m.test(yaml) && /^pools:/m.test(yaml));

  test.each(whole)("has a configuration that loads:\n%s", (yaml) => {
    const env = new Proxy(
      {},
      { getOwnPropertyDescriptor: () => ({ configurable: true, value: "x" }), get: () => "x" },
    );
    const loaded = loadConfig({ text: yaml, file: "README.md", env, readFile: () => "x" });
    expect(loaded.ok ? [] : loaded.errors.map((problem) => formatProblem(problem))).toEqual([]);
  });

  test("names no key that does not exist", () => {
    const patterns = keyEntries().map(({ path }) => path.split(/\.|(?=\[\])/));
    const sections = patterns.filter((pattern) => pattern.length === 1).join("|");
    const named = [
      ...readme.matchAll(new RegExp(String.raw`\x60((?:${sections})(?:\.[\w*]+|\[\])+)\x60`, "g")),
    ];
    const unknown = named
      .map(([, key = ""]) => key)
      .filter((key) => !patterns.some((pattern) => fits(key.split(/\.|(?=\[\])/), pattern)));
    expect(unknown).toEqual([]);
  });
});

function fits(key: readonly string[], pattern: readonly string[]): boolean {
  return (
    key.length === pattern.length &&
    pattern.every((segment, index) => segment === "*" || segment === key[index])
  );
}
