// `pools.NAME.queue` and the exchange of grants, through admission.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import type { Decision } from "../../../src/control-plane/admission.ts";
import { type AdmissionFixture, admissionOf, reconfigure } from "./admission-of.ts";
import { requestOf } from "./request-of.ts";

let fixture: AdmissionFixture;
/** What became of those that waited, in order: `id: backend or error code`. */
let decided: string[];
let waits: string[];

beforeEach(() => {
  vi.useFakeTimers();
  decided = [];
  waits = [];
});

afterEach(() => {
  if (vi.getTimerCount() > 0) throw new Error("a timer is left");
  vi.useRealTimers();
});

function configOf(queue: unknown, backends: unknown[]): Config {
  const result = parseConfig({
    listeners: [":8080"],
    tiers: { vip: { priority: "high" }, normal: {}, guest: { priority: "low", default: true } },
    pools: { chat: { queue, backends } },
  });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

function start(queue: unknown, backends: unknown[] = [{ id: "a", url: "ws://a", capacity: 1 }]): void {
  fixture = admissionOf(configOf(queue, backends), {
    now: () => performance.now(),
    events: {
      decided: (_worker, id, decision) => void decided.push(`${id}: ${textOf(decision)}`),
      waited: (queueName) => void waits.push(queueName),
    },
  });
}

function textOf(decision: Decision | null): string {
  if (decision === null) return "waits";
  return "grant" in decision ? decision.grant.backend : decision.refused;
}

function admit(id: number, tier = "guest"): string {
  return textOf(fixture.admission.admit(1, requestOf({ id, tier, user: `user-${id}` })));
}

function queueLength(): number | undefined {
  return fixture.admission.waiting.find(({ queue }) => queue === "pool:chat")?.length;
}

describe("an upgrade for a pool that is full", () => {
  test("is refused where there is no queue", () => {
    start("off");
    expect([admit(1), admit(2)]).toEqual(["a", "backends_full"]);
  });

  test("waits, and is served the moment a slot frees: by tier priority, then by arrival", () => {
    start({ size: 10, timeout: "5s" });
    expect([admit(1), admit(2), admit(3, "normal"), admit(4, "vip"), admit(5, "vip")]).toEqual([
      "a",
      "waits",
      "waits",
      "waits",
      "waits",
    ]);
    expect(queueLength()).toBe(4);
    for (const id of [1, 4, 5, 3, 2]) fixture.admission.release(1, id);
    expect(decided).toEqual(["4: a", "5: a", "3: a", "2: a"]);
    expect(waits).toEqual(Array.from({ length: 4 }, () => "pool:chat"));
    expect([queueLength(), fixture.admission.connections]).toEqual([0, 0]);
  });

  test("is refused where the queue is full, or its time is over", () => {
    start({ size: 1, timeout: "5s" });
    expect([admit(1), admit(2), admit(3)]).toEqual(["a", "waits", "backends_full"]);
    vi.advanceTimersByTime(4_999);
    expect(decided).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(decided).toEqual(["2: backends_full"]);
    expect(fixture.admission.connections).toBe(1);
    fixture.admission.release(1, 1);
  });

  test("leaves the line with its client, and nothing of it stays", () => {
    start({ size: 10, timeout: "5s" });
    admit(1);
    admit(2);
    admit(3);
    expect(fixture.admission.release(1, 2)).toBeNull();
    fixture.admission.release(1, 1);
    expect(decided).toEqual(["3: a"]);
    fixture.admission.release(1, 3);
    expect(fixture.admission.connections).toBe(0);
  });

  test("is served by a backend that a reload brings, or by capacity that it adds", () => {
    start({ size: 10, timeout: "5s" });
    admit(1);
    for (const id of [2, 3, 4]) admit(id);
    const more = [
      { id: "a", url: "ws://a", capacity: 2 },
      { id: "b", url: "ws://b", capacity: 1 },
    ];
    reconfigure(fixture, configOf({ size: 10, timeout: "5s" }, more));
    serve();
    expect(decided.map((line) => line.slice(3)).toSorted()).toEqual(["a", "b"]);
    expect(queueLength()).toBe(1);
    fixture.admission.startDraining();
    expect(decided.at(-1)).toBe("4: draining");
  });

  test("is told when a reload takes the queue away, or the pool", () => {
    start({ size: 10, timeout: "5s" });
    admit(1);
    admit(2);
    reconfigure(fixture, configOf("off", [{ id: "a", url: "ws://a", capacity: 1 }]));
    expect(decided).toEqual(["2: backends_full"]);
    fixture.admission.release(1, 1);
  });

  test("goes by its own time where a reload has made that shorter", () => {
    start({ size: 10, timeout: "1m" });
    admit(1);
    admit(2);
    reconfigure(fixture, configOf({ size: 10, timeout: "1s" }, [{ id: "a", url: "ws://a", capacity: 1 }]));
    admit(3);
    vi.advanceTimersByTime(1_001);
    expect(decided).toEqual(["3: backends_full"]);
    fixture.admission.release(1, 2);
    fixture.admission.release(1, 1);
  });

  test("is told that no backend is left, where that is so when its time is over", () => {
    start({ size: 10, timeout: "5s" });
    admit(1);
    admit(2);
    setDown();
    vi.advanceTimersByTime(5_001);
    expect(decided).toEqual(["2: no_backend"]);
    fixture.admission.release(1, 1);
  });

  test("does not wait where no backend is left at all", () => {
    start({ size: 10, timeout: "5s" });
    setDown();
    expect(admit(1)).toBe("no_backend");
  });
});

describe("a grant whose dial failed", () => {
  const two = [
    { id: "a", url: "ws://a", capacity: 1 },
    { id: "b", url: "ws://b", capacity: 1 },
  ];

  test("is traded without letting a waiting upgrade take the other backend's last slot", () => {
    start({ size: 10, timeout: "5s" }, two);
    const first = admit(1);
    const second = admit(2);
    admit(3);
    fixture.admission.release(1, 2);
    // 3 has the slot of 2; 1 finds no other place, and keeps its own until it is released.
    expect(decided).toEqual([`3: ${second}`]);
    expect(textOf(fixture.admission.exchange(1, 1, "backend_failed"))).toBe("backend_failed");
    fixture.admission.release(1, 3);
    admit(4, "vip");
    fixture.admission.release(1, 4);
    expect(textOf(fixture.admission.exchange(1, 1, "backend_failed"))).toBe(second);
    expect(first).not.toBe(second);
    for (const pool of fixture.pools.all) {
      expect([...pool.backends].map(({ id, connections }) => [id, connections])).toContainEqual([second, 1]);
    }
    fixture.admission.release(1, 1);
  });
});

function setDown(): void {
  for (const pool of fixture.pools.all) {
    for (const backend of pool.backends) backend.isUp = false;
    pool.refresh();
  }
}

function serve(): void {
  for (const pool of fixture.pools.all) fixture.admission.serve(pool);
}
