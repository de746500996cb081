import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import type { Backend } from "../../../src/control-plane/backend.ts";
import { BackendStates } from "../../../src/control-plane/backend-states.ts";
import { Departures } from "../../../src/control-plane/departures.ts";
import type { Place } from "../../../src/control-plane/places.ts";
import type { Pool } from "../../../src/control-plane/pool.ts";
import { Pools } from "../../../src/control-plane/pools.ts";
import { recordingLog } from "../../support/recording-log.ts";
import { specsOf } from "./config-of-pools.ts";
import { requestOf } from "./request-of.ts";

let pools: Pools;
let pool: Pool;
let states: BackendStates;
let departures: Departures<Place>;
/** Ids of the backends whose connections were told to go, with the reason. */
let departed: string[];
let lines: string[];
let roomCalls: number;

beforeEach(() => {
  vi.useFakeTimers();
  departed = [];
  lines = [];
  roomCalls = 0;
});

afterEach(() => {
  states.stop();
  departures.stop();
  if (vi.getTimerCount() > 0) throw new Error("a timer is left");
  vi.useRealTimers();
});

const now = (): number => performance.now();

function configOf(more: object, ids: readonly string[]): Config {
  const backends = ids.map((id) => ({ id, url: `ws://${id}` }));
  const result = parseConfig({ listeners: [":8080"], pools: { chat: { backends, ...more } } });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

function start(more: object = {}, ids = ["a", "b", "c", "d"]): void {
  pools = new Pools(now);
  const config = configOf(more, ids);
  pools.configure(config, specsOf(config));
  const chat = pools.find("chat");
  if (chat === undefined) throw new Error("the pool is missing");
  pool = chat;
  departures = new Departures<Place>({
    openOn: (backend) => [{ backend } as unknown as Place],
    close: (place, reason) => {
      const { backend } = place as unknown as { backend: Backend };
      departed.push(`${backend.id}: ${reason}`);
      backend.connections = 0;
    },
    now,
  });
  states = new BackendStates({
    log: recordingLog((level, message, fields) => {
      lines.push(`${level}: ${message} ${String(fields?.["backend"] ?? "")}`.trim());
    }),
    now,
    departures,
    onRoom: () => void (roomCalls += 1),
  });
}

function reload(more: object, ids: readonly string[]): void {
  const config = configOf(more, ids);
  for (const [one, changes] of pools.configure(config, specsOf(config))) states.listChanged(one, changes);
}

function backend(id: string): Backend {
  const found = pool.find(id);
  if (found === undefined) throw new Error(`no backend ${id}`);
  return found;
}

function readyIds(): string[] {
  return pool.ready.map(({ id }) => id);
}

function fail(id: string, times = 5): void {
  for (let i = 0; i < times; i += 1) states.failed(pool, backend(id), "connect", "ann");
}

describe("a backend's health", () => {
  test("decides whether it gets work; a change is logged once, with what follows for the pool", () => {
    start({}, ["a", "b"]);
    states.observe(pool, backend("a"), true, "the check passes");
    expect(lines).toEqual([]);
    states.observe(pool, backend("a"), false, "ECONNREFUSED");
    states.observe(pool, backend("a"), false, "ECONNREFUSED");
    expect(readyIds()).toEqual(["b"]);
    states.observe(pool, backend("b"), false, "ECONNREFUSED");
    expect(readyIds()).toEqual([]);
    states.observe(pool, backend("b"), true, "");
    expect(lines).toEqual([
      "warn: backend down a",
      "warn: backend down b",
      "error: pool has no backend left that may be given work",
      "info: backend up b",
      "info: pool has a backend again",
    ]);
    expect(roomCalls).toBe(1);
  });

  test("leaves its open connections where they are, or ends them with `onUnhealthy: close`", () => {
    start();
    backend("a").connections = 1;
    states.observe(pool, backend("a"), false, "");
    expect(departed).toEqual([]);
    start({ onUnhealthy: "close" });
    backend("a").connections = 1;
    states.observe(pool, backend("a"), false, "");
    expect(departed).toEqual(["a: backend_lost"]);
  });

  test("and the operator's hand are two axes: one does not undo the other", () => {
    start();
    states.set(pool, backend("a"), { state: "draining" });
    states.observe(pool, backend("a"), false, "");
    states.observe(pool, backend("a"), true, "");
    expect(readyIds()).toEqual(["b", "c", "d"]);
    states.observe(pool, backend("a"), false, "");
    states.set(pool, backend("a"), { state: "active" });
    expect(readyIds()).toEqual(["b", "c", "d"]);
    states.observe(pool, backend("a"), true, "");
    expect(readyIds()).toEqual(["a", "b", "c", "d"]);
  });

  test("that comes back starts it slowly: at a tenth of its weight, in full after `slowStart`", () => {
    start({ slowStart: "30s" });
    expect(backend("a").effectiveWeight(performance.now(), 30_000)).toBe(1);
    states.observe(pool, backend("a"), false, "");
    states.observe(pool, backend("a"), true, "");
    const weights = [0, 15_000, 15_000].map((ms) => {
      vi.advanceTimersByTime(ms);
      return backend("a").effectiveWeight(performance.now(), 30_000);
    });
    expect(weights).toEqual([0.1, 0.5, 1]);
  });
});

describe("an ejection", () => {
  test("follows enough failures, and ends with its time; the next one in a row is longer", () => {
    start();
    fail("a", 4);
    expect(readyIds()).toContain("a");
    fail("a", 1);
    expect(readyIds()).toEqual(["b", "c", "d"]);
    vi.advanceTimersByTime(30_001);
    expect(readyIds()).toContain("a");
    fail("a");
    vi.advanceTimersByTime(59_000);
    expect(readyIds()).not.toContain("a");
    vi.advanceTimersByTime(1_001);
    expect(readyIds()).toContain("a");
    expect(backend("a").failures.connect).toBe(10);
  });

  test("ends when an active check passes again", () => {
    start();
    fail("a");
    states.recovered(pool, backend("a"));
    expect(readyIds()).toContain("a");
    expect(lines).toEqual(["warn: backend ejected a", "info: backend no longer ejected a"]);
  });

  test("hits half of a pool at most, and never the last one ready", () => {
    start();
    for (const id of ["a", "b", "c", "d"]) fail(id);
    expect(readyIds()).toEqual(["c", "d"]);
    states.stop();
    start({}, ["a", "b"]);
    states.observe(pool, backend("a"), false, "");
    fail("b", 20);
    expect(readyIds()).toEqual(["b"]);
  });

  test("is over where no other backend is left, and not before", () => {
    start({ onRemove: { mode: "keep" } }, ["a", "b", "c"]);
    fail("a");
    states.observe(pool, backend("b"), false, "");
    expect(readyIds()).toEqual(["c"]);
    states.set(pool, backend("c"), { state: "draining" });
    expect(readyIds()).toEqual(["a"]);
    expect(lines.slice(-2)).toEqual(["info: backend set by hand c", "info: backend no longer ejected a"]);

    start({}, ["a", "b"]);
    fail("a");
    states.set(pool, backend("a"), { state: "draining" });
    states.observe(pool, backend("b"), false, "");
    // What an operator has drained serves nobody, ejected or not; and serves once that is taken back.
    expect(readyIds()).toEqual([]);
    states.set(pool, backend("a"), { state: "active" });
    expect(readyIds()).toEqual(["a"]);

    start({}, ["a", "b"]);
    fail("a");
    reload({}, ["a"]);
    expect(readyIds()).toEqual(["a"]);
  });

  test("does not happen with `outlier: off`, and is over for a backend that is removed", () => {
    start({ outlier: "off" });
    fail("a", 100);
    expect(readyIds()).toContain("a");
    start();
    fail("a");
    reload({}, ["b", "c", "d"]);
    reload({}, ["a", "b", "c", "d"]);
    expect(readyIds()).toContain("a");
  });
});

describe("a backend taken from the list, or drained by hand", () => {
  test.each([
    ["drain", ["a: backend_draining"]],
    ["close", ["a: backend_draining"]],
    ["keep", []],
  ])("lets its connections go as `onRemove: %s` says", (mode, expected) => {
    const onRemove = { onRemove: { mode, grace: "0s", spread: "1s" } };
    start(onRemove);
    pool.acquire(backend("a"), requestOf());
    reload(onRemove, ["b", "c", "d"]);
    vi.advanceTimersByTime(2_000);
    expect(departed).toEqual(expected);
    expect(readyIds()).toEqual(["b", "c", "d"]);
  });

  test("keeps what it still has when it comes back", () => {
    const onRemove = { onRemove: { mode: "drain", grace: "10s" } };
    start(onRemove);
    pool.acquire(backend("a"), requestOf());
    reload(onRemove, ["b", "c", "d"]);
    reload(onRemove, ["a", "b", "c", "d"]);
    vi.advanceTimersByTime(60_000);
    expect(departed).toEqual([]);
    expect(readyIds()).toContain("a");
    states.set(pool, backend("a"), { state: "draining" });
    states.set(pool, backend("a"), { state: "active" });
    vi.advanceTimersByTime(60_000);
    expect(departed).toEqual([]);
  });

  test("keeps what it still has when it comes back while it fails its checks", () => {
    const onRemove = { onRemove: { mode: "drain", grace: "10s" } };
    start(onRemove);
    pool.acquire(backend("a"), requestOf());
    states.set(pool, backend("a"), { state: "draining" });
    states.observe(pool, backend("a"), false, "");
    states.set(pool, backend("a"), { state: "active" });
    reload(onRemove, ["b", "c", "d"]);
    reload(onRemove, ["a", "b", "c", "d"]);
    vi.advanceTimersByTime(60_000);
    expect(departed).toEqual([]);
  });

  test("is told of where its pool has none left without it, and so is what comes back", () => {
    start({}, ["a", "b"]);
    states.observe(pool, backend("b"), false, "");
    lines = [];
    reload({}, ["b"]);
    reload({}, ["b"]);
    reload({}, ["b", "c"]);
    expect(lines).toEqual([
      "info: backend removed a",
      "error: pool has no backend left that may be given work",
      "info: backend added c",
      "info: pool has a backend again",
    ]);
  });

  test("stays drained over a reload, and set down ends its connections at once", () => {
    start();
    backend("a").connections = 1;
    states.set(pool, backend("a"), { state: "down", weight: 5, capacity: 7 });
    expect(departed).toEqual(["a: backend_draining"]);
    reload({}, ["a", "b", "c", "d"]);
    expect(readyIds()).toEqual(["b", "c", "d"]);
    expect([backend("a").weight, backend("a").capacity]).toEqual([5, 7]);
    states.set(pool, backend("a"), { state: "active", weight: null, capacity: null });
    expect([backend("a").weight, backend("a").capacity]).toEqual([1, Number.POSITIVE_INFINITY]);
  });
});
