// SECURITY.md says of each promise which tests hold it: they have to be there.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const text = readFileSync(join(root, "SECURITY.md"), "utf8");
const named = [...new Set(text.match(/\btest\/[\w./-]*\w/g))];

const [, promises = ""] = text.split("## What is promised");
const [tables = ""] = promises.split("\n## ");
const rows = tables.split("\n").filter((line) => /^\| (?!promise\b|-)/.test(line));

test("SECURITY.md names only tests that exist", () => {
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

/** A file, and behind it in brackets the tests of it that matter, where not all of them do. */
const NAMED_TESTS = /`(test\/[\w./-]+)` \(("[^"]+"(?:, "[^"]+")*)\)/g;

test("what it calls a test is the name of one in the file before it", () => {
  const missing = [...text.matchAll(NAMED_TESTS)].flatMap(([, file = "", names = ""]) => {
    // However the formatter has broken the line.
    const source = readFileSync(join(root, file), "utf8").replaceAll(/\(\s+"/g, '("');
    const quoted = names.match(/"[^"]+"/g) ?? [];
    return quoted.filter((name) => !source.includes(`(${name}, `)).map((name) => `${file}: ${name}`);
  });
  expect(missing).toEqual([]);
});

test("each name in its tables stands behind its file, and is looked for", () => {
  const cells = rows.map((row) => row.split(" | ").at(-1) ?? "");
  const names = cells.filter((cell) => cell.includes('"'));
  expect(names.length).toBeGreaterThan(10);
  expect(names.filter((cell) => /["()]/.test(cell.replaceAll(NAMED_TESTS, "")))).toEqual([]);
});

test("each of its promises names a test", () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.filter((row) => !row.includes("`test/"))).toEqual([]);
});

test("every file of attacks stands in it", () => {
  const attacks = readdirSync(join(root, "test/e2e")).filter((file) => /^bad-input-.*\.test\.ts$/.test(file));
  expect(attacks.length).toBeGreaterThan(10);
  expect(attacks.filter((file) => !named.includes(`test/e2e/${file}`))).toEqual([]);
});
