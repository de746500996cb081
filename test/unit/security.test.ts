// SECURITY.md says of each promise which tests hold it: they have to be there.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const text = readFileSync(join(root, "SECURITY.md"), "utf8");
const named = [...new Set(text.match(/\btest\/[\w./-]*\w/g))];

test("SECURITY.md names only tests that exist", () => {
  expect(named.length).toBeGreaterThan(50);
  expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

test("each of its promises names a test", () => {
  const [, promises = ""] = text.split("## What is promised");
  const [tables = ""] = promises.split("\n## ");
  const rows = tables.split("\n").filter((line) => /^\| (?!promise\b|-)/.test(line));
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.filter((row) => !row.includes("`test/"))).toEqual([]);
});

test("every file of attacks stands in it", () => {
  const attacks = readdirSync(join(root, "test/e2e")).filter((file) => /^bad-input-.*\.test\.ts$/.test(file));
  expect(attacks.length).toBeGreaterThan(10);
  expect(attacks.filter((file) => !named.includes(`test/e2e/${file}`))).toEqual([]);
});
