// Keys without their feature: named when the file asks something of them, silent where they are off.

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

describe("is said of a key that asks for something", () => {
  test("in every pool and backend", () => {
    const text = `listeners: [":1"]
routes: [{ pool: a }, { pool: b }]
pools:
  a: { backends: [{ url: "ws://a", proxyProtocol: on }, { url: "ws://b", proxyProtocol: off }] }
  b: { backends: [{ url: "ws://a", proxyProtocol: on }] }
`;
    expect(warningsOf(text).filter((warning) => warning.includes("proxyProtocol"))).toEqual([
      "f:4:36: warning: pools.a.backends[0].proxyProtocol: not in effect yet",
      "f:5:36: warning: pools.b.backends[0].proxyProtocol: not in effect yet",
    ]);
  });
});

describe("is not said", () => {
  test.each([
    ["of off", "pidFile: off\nlimits: { overload: off }"],
    ["of a mapping of nothing but off", "limits: { overload: { memory: off, eventLoopDelay: off } }"],
    ["of an empty list", "routes: [{ pool: chat, allow: [], deny: [] }]"],
    ["of requests that have no limit", "routes: [{ pool: chat, requests: off }]"],
    ["of how a change is taken over", "reload: { watch: on, settle: 1s, maxRemoved: 10% }"],
    ["of metrics without the token", 'admin: { token: "a long secret", anonymous: [metrics] }'],
    [
      "of what is in effect",
      "timeouts: { http: 1m, idle: 1m, ping: { interval: 10s } }\nshutdown: { spread: 1s, readyDelay: 1s }\nstate: { file: f }\nlimits: { maxMessageSize: 1MiB, maxConnections: 10 }\nlog: { level: debug }",
    ],
  ])("%s", (_what, lines) => expect(warningsOf(VALID + lines)).toEqual([]));

  test("of a pool that is as it would be without the keys", () => {
    const keys =
      "balance: least-connections, onUnhealthy: keep, onRemove: { mode: keep }, warmConnections: 0, sourceAddresses: []";
    const backend = '{ url: "ws://a", resolve: first, proxyProtocol: off }';
    expect(warningsOf(`listeners: [":1"]\npools: { a: { backends: [${backend}], ${keys} } }`)).toEqual([]);
  });

  test("of affinity and checks that are turned off", () => {
    const text =
      'listeners: [":1"]\npools: { a: { backends: ["ws://a"], affinity: off, healthCheck: off, outlier: off } }';
    expect(warningsOf(text)).toEqual([]);
    expect(warningsOf(text.replace("affinity: off", "affinity: { by: none }"))).toEqual([]);
  });
});

test("config.example.yaml has no such warning", () => {
  const text = readFileSync(new URL("../../../config.example.yaml", import.meta.url), "utf8");
  expect(warningsOf(text)).toEqual([]);
});
