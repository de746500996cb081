// What is said of the difference between two configurations, and what is never said.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  changeLines,
  changesBetween,
  compareConfigs,
  fixedKeysBetween,
} from "../../../src/config/changes.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";

function load(text: string, env: Record<string, string> = {}): Config {
  const loaded = loadConfig({ text, file: "/etc/weir/weir.yaml", env });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

/** Lines below a listener and a pool. */
function loadWith(lines: string): Config {
  return load(`listeners: [":8080"]\npools: { chat: { backends: ["ws://a:1"] } }\n${lines}`);
}

/** A pool `chat` with these backends, in YAML. */
function loadBackends(...backends: string[]): Config {
  return load(`{ listeners: [":8080"], pools: { chat: { backends: [${backends.join(", ")}] } } }`);
}

/** Two pools with these backends, in YAML. */
function loadPools(a: string, b: string): Config {
  return load(
    `{ listeners: [":1"], pools: { a: { backends: [${a}] }, b: { backends: [${b}] } }, routes: [{ pool: a }, { pool: b }] }`,
  );
}

function linesBetween(before: Config, after: Config): readonly string[] {
  return changeLines(changesBetween(before, after));
}

describe("a key", () => {
  const cases: [before: string, after: string, ...changes: string[]][] = [
    ["", ""],
    ["timeouts: { http: 2m }", "timeouts: { http: 120s }"],
    ["timeouts: { http: 1m }", "timeouts: { http: 1500ms }", "timeouts.http: 1m → 1500ms"],
    ["timeouts: { idle: off }", "timeouts: { idle: 1h }", "timeouts.idle: off → 1h"],
    ["limits: { maxMessageSize: 1MiB }", "", "limits.maxMessageSize: 1MiB → off"],
    ["limits: { maxConnections: 5 }", "", "limits.maxConnections: 5 → auto"],
    ["limits: { onExceed: drop }", "limits: { onExceed: log }", "limits.onExceed: drop → log"],
    ["reload: { maxRemoved: 50% }", "reload: { maxRemoved: 12.5% }", "reload.maxRemoved: 50% → 12.5%"],
    ["log: { access: on }", "log: { access: off }", "log.access: on → off"],
    [
      "timeouts: { ping: off }",
      "timeouts: { ping: { interval: 10s } }",
      "timeouts.ping: off → { interval: 10s, timeout: 30s }",
    ],
    [
      "tiers: { guest: { messages: 2/s, default: true } }",
      "tiers: { guest: { messages: { rate: 5/s, burst: 9 }, default: true } }",
      "tiers.guest.messages.rate: 2/s → 5/s",
      "tiers.guest.messages.burst: 2 → 9",
    ],
    [
      "tiers: { guest: { bytes: 1MiB/s, default: true } }",
      "tiers: { guest: { bytes: off, default: true } }",
      "tiers.guest.bytes: { rate: 1MiB/s, burst: 1MiB } → off",
    ],
    [
      "tiers: { a: { default: true }, b: {} }",
      'tiers: { a: { default: true }, "c.d": {} }',
      "tiers.b: removed",
      'tiers["c.d"]: added',
    ],
    [
      "trustedProxies: [10.0.0.0/8]",
      "trustedProxies: [10.1.0.0/16]",
      "trustedProxies: 10.1.0.0/16 added, 10.0.0.0/8 removed",
    ],
    ["admin: { hosts: [a, b] }", "admin: { hosts: [b, a] }", "admin.hosts: order changed"],
    ["pidFile: weir.pid", "pidFile: /run/weir.pid", "pidFile: /etc/weir/weir.pid → /run/weir.pid"],
    [
      "identity: { user: [{ header: a }] }",
      "identity: { user: [{ header: b }] }",
      "identity.user[0]: changed",
    ],
    ["identity: { user: [{ header: a }, ip] }", "identity: { user: [ip] }", "identity.user: […, …] → […]"],
  ];
  test.each(cases)("%j and then %j", (before, after, ...changes) => {
    expect(linesBetween(loadWith(before), loadWith(after))).toEqual(changes);
  });
});

describe("backends", () => {
  test("come and go by their id", () => {
    const before = loadBackends('{ id: server1, url: "ws://a" }', '"ws://b:2"');
    const after = loadBackends('"ws://b:2"', '{ id: server3, url: "ws://a" }');
    expect(linesBetween(before, after)).toEqual(["pools.chat.backends: server3 added, server1 removed"]);
  });

  test("keep their id and change", () => {
    const before = loadBackends('{ id: s, url: "ws://a:1" }', '"ws://b:2"');
    const after = loadBackends(
      '{ id: s, url: "wss://c:3/x", weight: 5 }',
      '{ url: "ws://b:2", capacity: 9 }',
    );
    expect(linesBetween(before, after)).toEqual([
      "pools.chat.backends.s.url: ws://a:1 → wss://c:3/x",
      "pools.chat.backends.s.weight: 1 → 5",
      "pools.chat.backends.s.tls: off → { ca: off, cert: off, key: off, serverName: off, verify: on }",
      'pools.chat.backends["b:2"].capacity: off → 9',
    ]);
  });

  test("of a long list are counted, and so are lines", () => {
    const many = Array.from({ length: 100 }, (_, index) => `{ id: s${index}, url: "ws://a:1" }`);
    expect(linesBetween(loadBackends('"ws://b:2"'), loadBackends('"ws://b:2"', ...many))).toEqual([
      "pools.chat.backends: s0, s1, s2, s3, s4, s5, s6, s7, s8, s9 and 90 more added",
    ]);
    const heavier = many.map((backend) => backend.replace("}", ", weight: 2 }"));
    const lines = linesBetween(loadBackends(...many), loadBackends(...heavier));
    expect([lines.length, lines.at(-1)]).toEqual([21, "and 80 more"]);
  });

  test("move between pools", () => {
    expect(
      linesBetween(
        loadPools('"ws://a:1", "ws://b:2"', '"ws://c:3"'),
        loadPools('"ws://a:1"', '"ws://b:2", "ws://c:3"'),
      ),
    ).toEqual(["pools.a.backends: b:2 removed", "pools.b.backends: b:2 added"]);
  });
});

test("routes are known by what they match; their order counts", () => {
  const before = loadWith(
    "routes: [{ match: { path: /a }, pool: chat }, { match: { path: /b }, pool: chat }]",
  );
  const after = loadWith(
    "routes: [{ match: { path: /b }, pool: chat, http: reject }, { match: { path: /a }, pool: chat }, { pool: chat }]",
  );
  expect(linesBetween(before, after)).toEqual([
    "routes: */* added, order changed",
    'routes["*/b"].http: proxy → reject',
  ]);
});

describe("never shows", () => {
  const secret = "hunter2-hunter2";
  const cases: [what: string, lines: (secret: string) => string, ...changes: string[]][] = [
    ["the admin token", (it) => `admin: { token: ${it} }`, "admin.token: changed"],
    ["the secret of tokens", (it) => `identity: { jwt: { secret: ${it} } }`, "identity.jwt.secret: changed"],
    [
      "headers that are set",
      (it) => `routes: [{ pool: chat, headers: { set: { authorization: ${it} } } }]`,
      'routes["*/*"].headers.set.authorization: changed',
    ],
    ["the webhook", (it) => `alerts: { webhook: "https://a/${it}" }`, "alerts.webhook: changed"],
    [
      "notices",
      (it) => `routes: [{ pool: chat, notices: { limited: ${it} } }]`,
      'routes["*/*"].notices.limited: changed',
    ],
  ];
  test.each(cases)("%s", (_what, lines, ...changes) => {
    const before = loadWith(lines("another one"));
    const after = loadWith(lines(secret));
    expect(linesBetween(before, after)).toEqual(changes);
    expect(linesBetween(after, before)).toEqual(changes);
    const onAndOff = [...linesBetween(loadWith(""), after), ...linesBetween(after, loadWith(""))];
    expect(onAndOff.length).toBeGreaterThan(1);
    expect(onAndOff.join("\n")).not.toContain(secret);
  });

  test("any text of the file with every key that is free to be anything", () => {
    const text = readFileSync(new URL("every-key.yaml", import.meta.url), "utf8")
      .replaceAll(/(issuer|audience|serverName): x/g, `$1: ${secret}`)
      .replace("{ query: access_token }", `{ query: ${secret} }`);
    const full = load(text, { JWT_SECRET: secret });
    expect(JSON.stringify(full)).toContain(secret);
    const changes = [...changesBetween(loadWith(""), full), ...changesBetween(full, loadWith(""))];
    expect(JSON.stringify(changes)).not.toContain(secret);
    expect(JSON.stringify(changes)).not.toMatch(/undefined|\[object|NaN/);
  });
});

describe("what is removed", () => {
  const two = loadBackends('"ws://a:1"', '"ws://b:2"');

  test("is counted by pool", () => {
    expect(compareConfigs(two, loadBackends('"ws://b:2"', '"ws://c:3"')).removals).toEqual([
      { pool: "chat", removed: 1, of: 2 },
    ]);
    expect(compareConfigs(two, loadBackends('"ws://b:2"', '"ws://a:1"', '"ws://c:3"')).removals).toEqual([]);
  });

  test("is everything where the pool is gone", () => {
    const other = load('{ listeners: [":8080"], pools: { game: { backends: ["ws://a:1"] } } }');
    expect(compareConfigs(two, other).removals).toEqual([{ pool: "chat", removed: 2, of: 2 }]);
  });
});

describe("what needs a restart", () => {
  const pools = 'pools: { chat: { backends: ["ws://a:1"] } }';

  test("is named by its key", () => {
    const before = load(`listeners: [":1", ":2"]\n${pools}\nthreads: 1`);
    const after = load(`listeners: [":1", ":3"]\n${pools}\nthreads: 2\nadmin: off`);
    expect(fixedKeysBetween(before, after)).toEqual(["listeners[1].bind", "threads", "admin.bind"]);
    expect(fixedKeysBetween(before, load(`listeners: [":1"]\n${pools}\nthreads: 1`))).toEqual(["listeners"]);
  });

  test("is nothing else of a listener or the admin server", () => {
    const before = load(`listeners: [":1"]\n${pools}`);
    const after = load(
      `listeners: [{ bind: ":1", healthPath: /up }]\n${pools}\nadmin: { token: "a long token" }`,
    );
    expect(fixedKeysBetween(before, after)).toEqual([]);
    expect(linesBetween(before, after)).toEqual([
      "listeners[0].healthPath: off → /up",
      "admin.token: off → …",
    ]);
  });
});
