// The JSON Schema for editors agrees with the loader: what it accepts loads, typing errors do not pass.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { jsonSchema } from "../../../src/config/json-schema.ts";

const schema = z.fromJSONSchema(jsonSchema());

function accepts(yaml: string): boolean {
  return schema.safeParse(parse(yaml)).success;
}

function file(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

const VALID = 'listeners: [":8080"]\npools: { chat: { backends: ["ws://10.0.0.1:3000"] } }\n';

test("accepts the smallest file, the example and the file with every key", () => {
  expect(accepts(VALID)).toBe(true);
  expect(accepts(file("../../../config.example.yaml"))).toBe(true);
  expect(accepts(file("every-key.yaml"))).toBe(true);
});

describe("accepts a rate alone where a mapping may say more", () => {
  test.each(["tiers: { a: { messages: 5/s, default: true } }", "routes: [{ pool: chat, messages: 5/s }]"])(
    "%s",
    (line) => expect(accepts(VALID + line)).toBe(true),
  );
});

describe("accepts ${…} wherever text may stand", () => {
  test.each([
    'threads: "${THREADS}"',
    'limits: { maxDelay: "${DELAY:-10s}" }',
    'log: { level: "${LEVEL:-info}", access: "${ACCESS}" }',
    'routes: [{ pool: chat, match: { path: "/${BASE}/*" } }]',
  ])("%s", (line) => expect(accepts(VALID + line)).toBe(true));
});

describe("refuses", () => {
  test.each([
    ["an unknown key", "treads: 2"],
    ["an unknown key below", "log: { lvl: info }"],
    ["an unknown value", "log: { level: verbose }"],
    ["a number without a unit", "limits: { maxDelay: 10 }"],
    ["a wrong unit", "limits: { maxDelay: 10sec }"],
    ["a number out of bounds", "threads: 0"],
    ["a wrong type", "routes: 5"],
    ["a missing key", "state: {}"],
    ["a name that cannot be one", "tiers: { 'a b': { default: true } }"],
  ])("%s", (_what, line) => expect(accepts(VALID + line)).toBe(false));

  test("a file without pools", () => expect(accepts('listeners: [":8080"]')).toBe(false));
});

test("describes every key", () => {
  const undescribed: string[] = [];
  walk(jsonSchema(), "", undescribed);
  expect(undescribed).toEqual([]);
});

function walk(node: unknown, path: string, undescribed: string[]): void {
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (key === "properties") {
      for (const [name, property] of Object.entries(value as Record<string, { description?: string }>)) {
        if (property.description === undefined) undescribed.push(`${path}.${name}`);
      }
    }
    walk(value, `${path}.${key}`, undescribed);
  }
}
