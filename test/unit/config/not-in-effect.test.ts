// Keys without their feature: named when set, silent at their default or off.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";
import { NOT_IN_EFFECT } from "../../../src/config/not-in-effect.ts";
import { keyEntries } from "../../../src/config/schema-tree.ts";

const VALID = 'listeners: [":8080"]\npools: { chat: { backends: ["ws://a"] } }\n';

function warningsOf(text: string): string[] {
  const loaded = loadConfig({ text, file: "f", env: { JWT_SECRET: "x" } });
  expect(loaded.ok).toBe(true);
  return loaded.warnings.map((problem) => formatProblem(problem, "warning"));
}

test("every listed key exists", () => {
  const known = new Set(keyEntries().map(({ path }) => path));
  expect(NOT_IN_EFFECT.filter((path) => !known.has(path))).toEqual([]);
});

describe("is said of a key that is set to something else", () => {
  test.each([
    ["reload: { settle: 1s }", "f:3:1: warning: reload: not in effect yet"],
    ["timeouts: { idle: 1m, http: 1m }", "f:3:13: warning: timeouts.idle: not in effect yet"],
    ["routes: [{ pool: chat, allow: [10.0.0.0/8] }]", "f:3:24: warning: routes[0].allow: not in effect yet"],
    ["timeouts: { ping: { interval: 10s } }", "f:3:13: warning: timeouts.ping: not in effect yet"],
  ])("%s", (line, warning) => expect(warningsOf(VALID + line)).toEqual([warning]));

  test("in every pool", () => {
    const pool = 'backends: ["ws://a"], balance';
    const text = `listeners: [":1"]\npools: { a: { ${pool}: random }, b: { ${pool}: least-connections }, c: { ${pool}: round-robin } }\nroutes: [{ pool: a }, { pool: b }, { pool: c }]`;
    expect(warningsOf(text).filter((warning) => warning.includes("balance"))).toEqual([
      "f:2:37: warning: pools.a.balance: not in effect yet",
      "f:2:140: warning: pools.c.balance: not in effect yet",
    ]);
  });
});

describe("is not said", () => {
  test.each([
    ["of the default", "timeouts: { ping: { interval: 30000ms, timeout: 30s } }"],
    ["of off", "timeouts: { ping: off }"],
    [
      "of what is in effect",
      "timeouts: { http: 1m }\nlimits: { maxMessageSize: 1MiB, maxConnections: 10 }\nlog: { level: debug }",
    ],
  ])("%s", (_what, lines) => expect(warningsOf(VALID + lines)).toEqual([]));

  test("of affinity and checks that are turned off", () => {
    const text =
      'listeners: [":1"]\npools: { a: { backends: ["ws://a"], affinity: off, healthCheck: off, outlier: off } }';
    expect(warningsOf(text)).toEqual([]);
    expect(warningsOf(text.replace("affinity: off", "affinity: { by: none }"))).toEqual([]);
  });
});

test("config.example.yaml has no other warnings", () => {
  const text = readFileSync(new URL("../../../config.example.yaml", import.meta.url), "utf8");
  expect(warningsOf(text).filter((warning) => !warning.endsWith("not in effect yet"))).toEqual([]);
});
