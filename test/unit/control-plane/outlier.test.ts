import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { type Failure, FailureWindow, mayEject } from "../../../src/control-plane/outlier.ts";

const config = { failures: 5, window: 30_000, eject: 30_000 };

/** What a client can bring about. */
const PROVOKED = ["timeout", "malformed", "status"] as const;

function failure(more: Partial<Failure>): Failure {
  return { kind: "connect", network: "ann", nowMs: 0, connections: 0, config, ...more };
}

/** Number of the failure, from 1, at which the backend is ejected; null where it never is. */
function ejectedAt(failures: readonly Partial<Failure>[], window = new FailureWindow()): number | null {
  const index = failures.findIndex((each) => window.record(failure(each)));
  return index === -1 ? null : index + 1;
}

/** Connections lost one after the other, of so many users in turn; `left` remain after the last of them. */
function burst(lost: number, left: number, { everyMs = 1, users = lost } = {}): Partial<Failure>[] {
  return Array.from({ length: lost }, (_, index) => ({
    kind: "lost",
    network: `user-${index % users}`,
    nowMs: index * everyMs,
    connections: left + lost - 1 - index,
  }));
}

describe("failures that eject a backend", () => {
  test("are as many connects as `failures` says, whoever met them", () => {
    expect(ejectedAt([1, 2, 3, 4, 5, 6].map((nowMs) => ({ nowMs })))).toBe(5);
  });

  test.each(PROVOKED)("are %s of as many networks, each counted once", (kind) => {
    const once = ["ann", "bob", "carl", "dora", "eve"].map((network) => ({ kind, network }));
    expect(ejectedAt(once)).toBe(5);
    expect(ejectedAt([...Array.from({ length: 100 }, () => ({ kind })), ...once])).toBe(105);
  });

  test("are counted together, and begin anew once they were enough", () => {
    const mixed = [
      { network: "ann" },
      { kind: "timeout", network: "bob" },
      { kind: "status", network: "bob" },
      { kind: "malformed", network: "carl" },
      { network: "ann" },
      { kind: "timeout", network: "dora" },
    ] as const;
    const window = new FailureWindow();
    expect(ejectedAt(mixed, window)).toBe(6);
    expect(ejectedAt(mixed.slice(1), window)).toBeNull();
  });

  test("are those within the window", () => {
    const connects = [0, 1_000, 2_000, 3_000, 30_000].map((nowMs) => ({ nowMs }));
    expect(ejectedAt(connects)).toBeNull();
    expect(ejectedAt([...connects, { nowMs: 31_000 }, { nowMs: 31_500 }])).toBe(7);
    const timeouts = connects.map(({ nowMs }, index) => ({
      kind: "timeout" as const,
      nowMs,
      network: `${index}`,
    }));
    expect(ejectedAt(timeouts)).toBeNull();
  });

  test("are never what one network brings about alone, however low the number is", () => {
    const step = fc.record({
      kind: fc.constantFrom(...PROVOKED, "lost" as const),
      afterMs: fc.nat(5_000),
      connections: fc.nat(5),
    });
    const property = fc.property(
      fc.array(step, { maxLength: 100 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 60_000 }),
      (steps, failures, window) => {
        let nowMs = 0;
        const list = steps.map(({ afterMs, ...more }) => {
          nowMs += afterMs;
          return { ...more, nowMs, config: { ...config, failures, window } };
        });
        expect(ejectedAt(list)).toBeNull();
      },
    );
    fc.assert(property);
  });

  test("are as many in the window as a naive count of them says", () => {
    const step = fc.record({
      kind: fc.constantFrom("connect" as const, ...PROVOKED),
      network: fc.constantFrom("ann", "bob", "carl"),
      afterMs: fc.nat(10_000),
    });
    const property = fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const window = new FailureWindow();
      let past: { kind: string; network: string; nowMs: number }[] = [];
      let nowMs = 0;
      for (const { kind, network, afterMs } of steps) {
        nowMs += afterMs;
        const now = nowMs;
        past = [...past, { kind, network, nowMs }].filter((each) => each.nowMs > now - config.window);
        const connects = past.filter((each) => each.kind === "connect");
        const users = new Set(past.filter((each) => each.kind !== "connect").map((each) => each.network));
        const isEnough = connects.length + users.size >= config.failures;
        expect(window.record(failure({ kind, network, nowMs }))).toBe(isEnough);
        if (isEnough) past = [];
      }
    });
    fc.assert(property);
  });
});

describe("lost connections", () => {
  test("eject as a burst: `failures` users and a tenth of the connections within a second", () => {
    expect(ejectedAt(burst(5, 0))).toBe(5);
    expect(ejectedAt(burst(5, 45))).toBe(5);
    expect(ejectedAt(burst(5, 46))).toBeNull();
    expect(ejectedAt(burst(100, 900))).toBe(100);
    expect(ejectedAt(burst(99, 901))).toBeNull();
    expect(ejectedAt(burst(4, 0))).toBeNull();
  });

  test("do not eject when they come one by one", () => {
    expect(ejectedAt(burst(5, 0, { everyMs: 250 }))).toBeNull();
    expect(ejectedAt(burst(5, 0, { everyMs: 249 }))).toBe(5);
    expect(ejectedAt(burst(1_000, 10, { everyMs: 300 }))).toBeNull();
  });

  test("of few users are no burst, however many they are", () => {
    const lost = burst(400, 0, { users: 4 });
    expect(ejectedAt(lost)).toBeNull();
    expect(ejectedAt([...lost, { kind: "lost", network: "eve", nowMs: 500, connections: 0 }])).toBe(401);
  });

  test("do not add to other failures", () => {
    const others = [1, 2, 3, 4].map((nowMs) => ({ nowMs }));
    expect(ejectedAt([...others, ...burst(4, 0)])).toBeNull();
  });
});

describe("the time of an ejection", () => {
  const { eject } = config;

  test("grows with each one in a row, up to ten times", () => {
    const window = new FailureWindow();
    let nowMs = 0;
    const times = Array.from({ length: 12 }, () => {
      const ejectMs = window.eject(config, nowMs);
      nowMs += ejectMs + eject - 1;
      return ejectMs / eject;
    });
    expect(times).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
  });

  test("falls by one for every `eject` without an ejection", () => {
    const window = new FailureWindow();
    let nowMs = 0;
    const ejectAfter = (quietMs: number): number => {
      nowMs += quietMs;
      const ejectMs = window.eject(config, nowMs);
      nowMs += ejectMs;
      return ejectMs / eject;
    };
    for (const factor of [1, 2, 3, 4]) expect(ejectAfter(0)).toBe(factor);
    expect(ejectAfter(2 * eject)).toBe(3);
    expect(ejectAfter(eject)).toBe(3);
    expect(ejectAfter(eject - 1)).toBe(4);
    expect(ejectAfter(1_000 * eject)).toBe(1);
  });

  test("counts the quiet time from a readmission before time", () => {
    const window = new FailureWindow();
    for (const nowMs of [0, 30_000, 90_000]) window.eject(config, nowMs);
    window.readmit(100_000);
    expect(window.eject(config, 100_000 + 2 * eject)).toBe(2 * eject);
  });
});

describe("a pool", () => {
  const ready = { isListed: true, isReady: true, isEjected: false };
  const ejected = { isListed: true, isReady: false, isEjected: true };
  const down = { isListed: true, isReady: false, isEjected: false };
  const gone = { isListed: false, isReady: false, isEjected: false };

  test("spares at most half of its listed backends, and never the last ready one", () => {
    expect(mayEject(ready, [ready])).toBe(false);
    expect(mayEject(ready, [ready, ready])).toBe(true);
    expect(mayEject(ready, [ready, ejected])).toBe(false);
    expect(mayEject(ready, [ready, ready, ready])).toBe(true);
    expect(mayEject(ready, [ready, ready, ejected])).toBe(false);
    expect(mayEject(ready, [ready, ready, ready, ejected])).toBe(true);
    expect(mayEject(ready, [ready, down, down, down])).toBe(false);
    expect(mayEject(ready, [ready, ready, gone, gone, ejected])).toBe(false);
  });

  test("ejects none that gets no work anyway", () => {
    for (const backend of [down, gone, ejected])
      expect(mayEject(backend, [backend, ready, ready])).toBe(false);
  });

  test("keeps both bounds over any course of ejections", () => {
    const states = fc.array(fc.constantFrom(ready, ejected, down, gone), { minLength: 1, maxLength: 12 });
    const property = fc.property(states, (states) => {
      const pool = states.map((state) => ({ ...state }));
      const ejectedBefore = pool.filter(({ isEjected }) => isEjected).length;
      for (const backend of pool) {
        if (!mayEject(backend, pool)) continue;
        backend.isEjected = true;
        backend.isReady = false;
      }
      const listed = pool.filter(({ isListed }) => isListed).length;
      const ejectedNow = pool.filter(({ isEjected }) => isEjected).length;
      expect(ejectedNow).toBeLessThanOrEqual(Math.max(ejectedBefore, listed / 2));
      expect(pool.some(({ isReady }) => isReady)).toBe(states.includes(ready));
    });
    fc.assert(property);
  });
});
