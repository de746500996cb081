// What becomes of the backends that a thread may dial when the configuration changes.
import { afterEach, describe, expect, test, vi } from "vitest";

import { loadConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import { DialTarget } from "../../../src/data-plane/dial-target.ts";
import { DialTargets } from "../../../src/data-plane/dial-targets.ts";
import { Settings } from "../../../src/data-plane/settings.ts";

type Section = Readonly<Record<string, unknown>>;

afterEach(() => vi.restoreAllMocks());

function configOf(pools: Readonly<Record<string, Section>>): Config {
  const routes = Object.keys(pools).map((pool) => ({ match: { path: `/${pool}` }, pool }));
  const text = JSON.stringify({ listeners: ["127.0.0.1:0"], pools, routes });
  // As where it is only checked: what it names may be gone by the time that it is used.
  const result = loadConfig({ text, file: "test.yaml", env: {}, purpose: "check" });
  if (!result.ok) throw new Error(result.errors.map(({ message }) => message).join("; "));
  return result.config;
}

/** The pool `chat` of these backends, by their ids. */
function chat(backends: Readonly<Record<string, string | Section>>, pool: Section = {}): Config {
  const entries = Object.entries(backends).map(([id, entry]) =>
    Object.assign({ id }, typeof entry === "string" ? { url: entry } : entry),
  );
  return configOf({ chat: { ...pool, backends: entries } });
}

/** The targets after these versions of the configuration, one after the other. */
function after(...versions: readonly Config[]): DialTargets {
  const targets = new DialTargets();
  for (const { pools } of versions) targets.configure(structuredClone(pools));
  return targets;
}

describe("a backend that a reload leaves where it is", () => {
  test("keeps its target, and what is new of it is there", () => {
    const targets = after(chat({ a: "ws://a:1" }, { connectTimeout: "1s" }));
    const before = targets.find("chat", "a");
    const changed = chat({ b: "ws://b:1", a: { url: "ws://a:1/base", weight: 7 } }, { connectTimeout: "2s" });
    targets.configure(changed.pools);
    const target = targets.find("chat", "a");
    expect(target).toBe(before);
    expect(target?.config).toMatchObject({ weight: 7, target: { basePath: "/base" } });
    expect(target?.pool.connectTimeout).toBe(2_000);
  });

  test("keeps it over any number of reloads", () => {
    const config = chat(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`b${i}`, `wss://b${i}`])));
    const targets = after(config);
    const before = config.pools["chat"]?.backends.map(({ id }) => targets.find("chat", id));
    for (let i = 0; i < 100; i++) targets.configure(structuredClone(config.pools));
    const now = config.pools["chat"]?.backends.map(({ id }) => targets.find("chat", id));
    expect(now).toEqual(before);
    expect(now?.every((target, i) => target === before?.[i])).toBe(true);
  });

  test("takes its source addresses from the new configuration", () => {
    const targets = after(
      chat({ a: "ws://a:1" }, { sourceAddresses: ["127.0.0.2"] }),
      chat({ a: "ws://a:1" }, { sourceAddresses: ["127.0.0.3"] }),
    );
    const ends = targets.find("chat", "a")?.sources.endsFor("127.0.0.1");
    expect(ends?.current.localAddress).toBe("127.0.0.3");
  });
});

describe("a backend gets a new target", () => {
  test.for<[what: string, before: Section | string, after: Section | string]>([
    ["host", "ws://a:1", "ws://b:1"],
    ["port", "ws://a:1", "ws://a:2"],
    ["TLS", "ws://a:443", "wss://a:443"],
    ["socket", "unix:/a", "unix:/b"],
    [
      "server name",
      { url: "wss://a", tls: { serverName: "x" } },
      { url: "wss://a", tls: { serverName: "y" } },
    ],
    ["verification", { url: "wss://a" }, { url: "wss://a", tls: { verify: false } }],
    ["resolution", { url: "ws://a:1" }, { url: "ws://a:1", resolve: "all" }],
  ])("where its %s has changed", ([, before, now]) => {
    const targets = after(chat({ a: before }));
    const old = targets.find("chat", "a");
    targets.configure(chat({ a: now }).pools);
    expect(targets.find("chat", "a")).toBeInstanceOf(DialTarget);
    expect(targets.find("chat", "a")).not.toBe(old);
  });

  test("where it moves to another pool", () => {
    const entry = { id: "a", url: "ws://a:1" };
    const other = { id: "b", url: "ws://b:1" };
    const targets = after(configOf({ chat: { backends: [entry] }, game: { backends: [other] } }));
    const old = targets.find("chat", "a");
    targets.configure(configOf({ chat: { backends: [other] }, game: { backends: [entry] } }).pools);
    expect(targets.find("game", "a")).toBeInstanceOf(DialTarget);
    expect(targets.find("game", "a")).not.toBe(old);
  });
});

describe("a grant that was made under another version", () => {
  test("finds a backend that a reload has just taken away, and one reload later, but not for ever", () => {
    const [both, rest] = [chat({ a: "ws://a:1", b: "ws://b:1" }), chat({ b: "ws://b:1" })];
    const targets = after(both);
    const removed = targets.find("chat", "a");
    targets.configure(rest.pools);
    expect(targets.find("chat", "a")).toBe(removed);
    targets.configure(rest.pools);
    expect(targets.find("chat", "a")).toBe(removed);
    targets.configure(rest.pools);
    expect(targets.find("chat", "a")).toBeUndefined();
  });

  test("finds a backend that is newer than the settings it is looked up with", () => {
    const targets = new DialTargets();
    const old = new Settings(chat({ a: "ws://a:1" }), { targets });
    const next = new Settings(chat({ b: "ws://b:1" }), { targets });
    expect(old.target("chat", "b")?.config.target.host).toBe("b");
    expect(next.target("chat", "a")?.config.target.host).toBe("a");
  });

  test("is led to where a backend has moved", () => {
    const targets = after(chat({ a: "ws://old:1" }), chat({ a: "ws://new:1" }));
    expect(targets.find("chat", "a")?.config.target.host).toBe("new");
  });
});

test("a list with a file that cannot be read changes nothing", () => {
  const targets = after(chat({ a: "ws://a:1", b: "ws://b:1" }));
  const before = targets.find("chat", "a");
  const broken = chat({ a: "ws://c:1", b: { url: "wss://b", tls: { ca: "/nowhere/ca.crt" } } });
  expect(() => targets.configure(broken.pools)).toThrow(/backend b: tls: ENOENT/);
  expect(targets.find("chat", "a")).toBe(before);
  expect(before?.config.target.host).toBe("a");
});

/** How many each of these threads keeps to each of 20 backends. */
function shares(threads: number, warmConnections: number): number[][] {
  const backends = Array.from({ length: 20 }, (_, i) => [`b${i}`, `ws://b${i}:1`]);
  const config = chat(Object.fromEntries(backends), { warmConnections });
  return Array.from({ length: threads }, (_, index) => {
    const kept: number[] = [];
    vi.spyOn(DialTarget.prototype, "keepWarm").mockImplementation((sockets) => void kept.push(sockets));
    new DialTargets({ index, threads }).configure(config.pools);
    return kept;
  });
}

describe("warm sockets", () => {
  test.for([
    [1, 5],
    [2, 1],
    [2, 5],
    [3, 10],
    [16, 4],
  ])("over %i threads are %i of a backend", ([threads = 1, wanted = 0]) => {
    const byThread = shares(threads, wanted);
    const sums = Array.from({ length: 20 }, (_, nth) =>
      byThread.reduce((sum, kept) => sum + (kept[nth] ?? 0), 0),
    );
    expect(sums).toEqual(Array.from({ length: 20 }, () => wanted));
    // No thread has all that does not divide.
    const totals = byThread.map((kept) => kept.reduce((sum, sockets) => sum + sockets, 0));
    expect(Math.max(...totals) - Math.min(...totals)).toBeLessThan(20);
  });

  test("of a backend with a PROXY header are none: it goes ahead of all else", () => {
    vi.useFakeTimers();
    const config = chat({ a: { url: "ws://a:1", proxyProtocol: true } }, { warmConnections: 3 });
    const targets = after(config);
    expect(vi.getTimerCount()).toBe(0);
    expect(targets.find("chat", "a")?.takeWarm(null)).toBeNull();
    vi.useRealTimers();
  });

  test("of a removed backend, and of all at a drain, are opened no more", () => {
    vi.useFakeTimers();
    const targets = after(chat({ a: "ws://a:1", b: "ws://b:1" }, { warmConnections: 3 }));
    expect(vi.getTimerCount()).toBe(2);
    targets.configure(chat({ b: "ws://b:1" }, { warmConnections: 3 }).pools);
    expect(vi.getTimerCount()).toBe(1);
    targets.startDraining();
    expect(vi.getTimerCount()).toBe(0);
    targets.configure(chat({ c: "ws://c:1" }, { warmConnections: 3 }).pools);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
});
