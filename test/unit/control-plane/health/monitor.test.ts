// The monitor with checks that the test decides and a clock that it sets: no sockets, no waiting.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { CheckTarget } from "../../../../src/control-plane/health/open-socket.ts";
import { HealthMonitor, type HealthTarget } from "../../../../src/control-plane/health/monitor.ts";
import { checkedBackend } from "./check-target.ts";

/** A check in flight. */
interface Running {
  readonly id: string;
  readonly target: CheckTarget;
  readonly signal: AbortSignal;
  readonly startedAtMs: number;
  pass(): Promise<void>;
  fail(error?: unknown): Promise<void>;
}

const monitors: HealthMonitor[] = [];

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  for (const monitor of monitors.splice(0)) monitor.stop();
  vi.useRealTimers();
});

/** A monitor whose checks are in `running` until the test ends them; `changes` is what it has told. */
function startMonitor({ random = () => 0 }: { readonly random?: () => number } = {}) {
  const changes: string[] = [];
  const recoveries: string[] = [];
  const running: Running[] = [];
  const monitor = new HealthMonitor({
    now: () => performance.now(),
    onChange: (pool, id, isUp, reason) => changes.push(`${pool}/${id} ${isUp ? "up" : "down"}: ${reason}`),
    onRecovery: (pool, id) => recoveries.push(`${pool}/${id}`),
    random,
    runCheck: (target, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const end = async (settle: () => void) => {
        const index = running.findIndex((one) => one.signal === signal);
        if (index !== -1) running.splice(index, 1);
        settle();
        await vi.advanceTimersByTimeAsync(0);
      };
      running.push({
        id: target.config.id,
        target,
        signal,
        startedAtMs: performance.now(),
        pass: () => end(resolve),
        fail: (error = new Error("unwell")) => end(() => reject(error)),
      });
      return promise;
    },
  });
  monitors.push(monitor);
  return { monitor, changes, recoveries, running };
}

/** Checks end as `verdict` says, the moment they begin. */
function startQuickMonitor(verdict: (id: string) => unknown) {
  const changes: string[] = [];
  const checkedAtMs: number[] = [];
  const monitor = new HealthMonitor({
    now: () => performance.now(),
    onChange: (_pool, id, isUp) => changes.push(`${id} ${isUp ? "up" : "down"}`),
    runCheck: async ({ config }) => {
      checkedAtMs.push(performance.now());
      const error = verdict(config.id);
      if (error !== null) throw error;
    },
  });
  monitors.push(monitor);
  return { monitor, changes, checkedAtMs };
}

const everySecond = { type: "tcp", interval: "1s", timeout: "500ms", healthyAfter: 2, unhealthyAfter: 3 };

function target(id: string, check: Parameters<typeof checkedBackend>[1] = everySecond): HealthTarget {
  const url = `ws://${id}.test:80`;
  return { pool: "chat", id, addresses: null, ...checkedBackend({ id, url }, check) };
}

function targets(count: number): HealthTarget[] {
  return Array.from({ length: count }, (_, index) => target(`b${index}`));
}

/** To the next check of the only backend. */
async function nextCheck(running: readonly Running[]): Promise<Running> {
  while (running.length === 0) await vi.advanceTimersToNextTimerAsync();
  const [first] = running;
  if (first === undefined) throw new Error("no check");
  return first;
}

function withCode(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe("results", () => {
  test("the first alone decides, be it good or bad", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("good"), target("bad")]);
    expect(changes).toEqual([]);
    await vi.advanceTimersByTimeAsync(0);
    for (const check of running.splice(0)) await (check.id === "good" ? check.pass() : check.fail());
    expect(changes).toEqual(["chat/good up: its health check passes", "chat/bad down: unwell"]);
  });

  test("after it the thresholds decide, and a change is told once", async () => {
    const { monitor, changes, recoveries, running } = startMonitor();
    monitor.configure([target("b")]);
    const told: number[] = [];
    for (const result of "+--+----+-+++") {
      const check = await nextCheck(running);
      await (result === "+" ? check.pass() : check.fail());
      told.push(changes.length);
    }
    expect(told).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3]);
    expect(changes.at(-1)).toBe("chat/b up: its health check passes");
    expect(recoveries).toHaveLength(3);
  });

  test("a backend whose check flaps with every result stays as it is", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    for (const result of "+-".repeat(20)) {
      const check = await nextCheck(running);
      await (result === "+" ? check.pass() : check.fail());
    }
    expect(changes).toHaveLength(1);
  });

  test("a check that hangs has failed when its time is up, is ended, and cannot pass later", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    const check = await nextCheck(running);
    await vi.advanceTimersByTimeAsync(499);
    expect(changes).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(changes).toEqual(["chat/b down: no result within 500 ms"]);
    expect(check.signal.aborted).toBe(true);
    await check.pass();
    expect(changes).toHaveLength(1);
    expect((await nextCheck(running)).startedAtMs).toBe(check.startedAtMs + 1_000);
  });

  test("what this machine has run out of is no result", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).fail(withCode("EMFILE"));
    expect(changes).toEqual([]);
    expect(monitor.isFirstRoundOver).toBe(true);
    await (await nextCheck(running)).pass();
    const errors = [withCode("ENFILE"), withCode("EADDRNOTAVAIL"), new AggregateError([withCode("ENOBUFS")])];
    for (const error of [...errors, ...errors]) await (await nextCheck(running)).fail(error);
    expect(changes).toEqual(["chat/b up: its health check passes"]);
  });

  test("an address that this machine cannot dial from the start is one, and so is a mixture", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).fail(withCode("EADDRNOTAVAIL"));
    expect(changes).toEqual(["chat/b down: EADDRNOTAVAIL"]);
    for (let i = 0; i < 2; i++) await (await nextCheck(running)).pass();
    const mixture = new AggregateError([withCode("EMFILE"), withCode("ECONNREFUSED")], "all failed");
    for (let i = 0; i < 3; i++) await (await nextCheck(running)).fail(mixture);
    expect(changes.at(-1)).toBe("chat/b down: all failed");
  });
});

describe("time", () => {
  test("from the beginning of one check to that of the next is an interval, and up to a tenth less", async () => {
    for (const [random, periodMs] of [
      [0, 1_000],
      [0.5, 950],
      [1, 900],
    ] as const) {
      const { monitor, running } = startMonitor({ random: () => random });
      monitor.configure([target("b")]);
      const first = await nextCheck(running);
      await vi.advanceTimersByTimeAsync(300);
      await first.pass();
      const second = await nextCheck(running);
      expect(second.startedAtMs - first.startedAtMs).toBeCloseTo(periodMs);
      monitor.stop();
    }
  });

  test("a check that takes longer than the interval is followed by the next", async () => {
    const { monitor, running } = startMonitor();
    monitor.configure([target("b", { ...everySecond, timeout: "3s" })]);
    const first = await nextCheck(running);
    await vi.advanceTimersByTimeAsync(2_500);
    expect(running).toHaveLength(1);
    await first.pass();
    expect((await nextCheck(running)).startedAtMs).toBeLessThan(first.startedAtMs + 2_502);
  });

  test("a dead backend is down after no more than interval × unhealthyAfter", async () => {
    let isDead = false;
    const { monitor, changes } = startQuickMonitor(() => (isDead ? new Error("dead") : null));
    monitor.configure([target("b")]);
    await vi.advanceTimersByTimeAsync(10_000);
    isDead = true;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(changes).toEqual(["b up", "b down"]);
  });

  test("few backends are checked at once, many within a second and not all at once", async () => {
    const few = startQuickMonitor(() => null);
    few.monitor.configure(targets(2));
    await vi.advanceTimersByTimeAsync(5);
    expect(few.changes).toHaveLength(2);

    const many = startQuickMonitor(() => null);
    const startMs = performance.now();
    many.monitor.configure(targets(1_000));
    await vi.advanceTimersByTimeAsync(1_001);
    expect(many.changes).toHaveLength(1_000);
    const perTenth = Map.groupBy(many.checkedAtMs, (atMs) => Math.floor((atMs - startMs) / 100));
    expect(perTenth.get(0)?.length).toBeLessThan(200);
    expect(perTenth.get(9)?.length).toBeLessThan(200);
  });

  test("no more than 128 checks are in flight, and the others have their turn", async () => {
    const { monitor, changes, running } = startMonitor({ random: Math.random });
    monitor.configure(targets(300));
    await vi.advanceTimersByTimeAsync(450);
    expect(running).toHaveLength(128);
    await running[0]?.pass();
    expect(running).toHaveLength(128);
    expect(monitor.isFirstRoundOver).toBe(false);
    // All hang: 128 at a time, half a second each.
    await vi.advanceTimersByTimeAsync(2_000);
    expect(changes).toHaveLength(300);
    expect(monitor.isFirstRoundOver).toBe(true);
  });
});

describe("configure", () => {
  test("the first round is over when each backend has been checked", async () => {
    const { monitor, running } = startMonitor();
    expect(monitor.isFirstRoundOver).toBe(false);
    monitor.configure([target("a"), target("b"), target("off", "off")]);
    await vi.advanceTimersByTimeAsync(0);
    expect(running).toHaveLength(2);
    await running[0]?.fail();
    expect(monitor.isFirstRoundOver).toBe(false);
    await running[0]?.pass();
    expect(monitor.isFirstRoundOver).toBe(true);
  });

  test("a list without anything to check is over at once", () => {
    const { monitor } = startMonitor();
    monitor.configure([target("off", "off")]);
    expect(monitor.isFirstRoundOver).toBe(true);
  });

  test("a backend that is removed while its check is in flight is not heard of", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("a"), target("b")]);
    await vi.advanceTimersByTimeAsync(0);
    const removed = running.find(({ id }) => id === "a");
    monitor.configure([target("b")]);
    expect(removed?.signal.aborted).toBe(true);
    await removed?.fail();
    await vi.advanceTimersByTimeAsync(0);
    expect(changes).toEqual([]);
    expect(running.map(({ id }) => id)).toEqual(["b"]);
  });

  test("one that comes back is new: its first result decides", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).fail();
    monitor.configure([]);
    monitor.configure([target("b")]);
    await (await nextCheck(running)).pass();
    expect(changes).toEqual(["chat/b down: unwell", "chat/b up: its health check passes"]);
  });

  test("the same list again disturbs nothing: no check is begun or ended, no count lost", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).pass();
    for (let i = 0; i < 2; i++) await (await nextCheck(running)).fail();
    const third = await nextCheck(running);
    const reweighted = {
      ...target("b"),
      ...checkedBackend({ id: "b", url: "ws://b.test:80", weight: 7 }, everySecond),
    };
    monitor.configure([reweighted]);
    expect(running).toEqual([third]);
    await third.fail();
    expect(changes.at(-1)).toBe("chat/b down: unwell");
  });

  test("other addresses are used by the next check", async () => {
    const { monitor, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).pass();
    monitor.configure([{ ...target("b"), addresses: ["192.0.2.1"] }]);
    expect(running).toHaveLength(0);
    expect((await nextCheck(running)).target.addresses).toEqual(["192.0.2.1"]);
  });

  test("a changed check begins at once and counts anew, but the backend stays what it was", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b")]);
    await (await nextCheck(running)).pass();
    for (let i = 0; i < 2; i++) await (await nextCheck(running)).fail();
    const old = await nextCheck(running);
    monitor.configure([target("b", { ...everySecond, timeout: "400ms" })]);
    expect(old.signal.aborted).toBe(true);
    await old.fail();
    await vi.advanceTimersByTimeAsync(0);
    expect(running).toHaveLength(1);
    for (let i = 0; i < 2; i++) await (await nextCheck(running)).fail();
    expect(changes).toHaveLength(1);
    await (await nextCheck(running)).fail();
    expect(changes.at(-1)).toBe("chat/b down: unwell");
  });

  test("a backend that is no longer checked counts as up", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("down"), target("up"), target("unknown")]);
    await vi.advanceTimersByTimeAsync(0);
    await running.find(({ id }) => id === "down")?.fail();
    await running.find(({ id }) => id === "up")?.pass();
    changes.length = 0;
    monitor.configure([target("down", "off"), target("up", "off"), target("unknown", "off")]);
    expect(changes).toEqual(["down", "up", "unknown"].map((id) => `chat/${id} up: it is not checked`));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("an owner that stops the monitor on what it hears leaves nothing behind", async () => {
    const monitor = new HealthMonitor({
      now: () => performance.now(),
      onChange: () => monitor.stop(),
      runCheck: async () => {},
    });
    monitor.configure([target("b")]);
    await vi.advanceTimersByTimeAsync(10);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stop ends the checks in flight, and leaves no timer", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("a"), target("b")]);
    await vi.advanceTimersByTimeAsync(0);
    await running[0]?.pass();
    const [hanging] = running;
    monitor.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(hanging?.signal.aborted).toBe(true);
    await hanging?.fail();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(changes).toHaveLength(1);
  });

  test("the same id in two pools are two backends", async () => {
    const { monitor, changes, running } = startMonitor();
    monitor.configure([target("b"), { ...target("b"), pool: "game" }]);
    await vi.advanceTimersByTimeAsync(0);
    for (const check of running.splice(0)) await check.fail();
    expect(changes).toEqual(["chat/b down: unwell", "game/b down: unwell"]);
  });
});
