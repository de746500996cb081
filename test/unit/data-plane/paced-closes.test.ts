// When each connection of a thread is closed, on a clock of the test's own.
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { PacedCloses } from "../../../src/data-plane/paced-closes.ts";

const WINDOW_MS = 100;

beforeEach(() => {
  vi.useFakeTimers();
  // A stall moves the clock and fires no timer; only the faked Date can be moved so.
  vi.spyOn(performance, "now").mockImplementation(() => Date.now());
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

interface Case {
  readonly count: number;
  readonly spreadMs: number;
  readonly withinMs?: number;
  readonly phase?: number;
}

/** The closes of one thread, each with its time since the beginning. */
class Fixture {
  readonly closedAtMs: number[] = [];
  readonly closed: number[] = [];
  readonly closes: PacedCloses<number>;
  readonly #startedAtMs = performance.now();

  constructor({ count, spreadMs, withinMs = 60_000, phase = 0 }: Case) {
    this.closes = new PacedCloses({
      items: Array.from({ length: count }, (_, item) => item),
      spreadMs,
      withinMs,
      phase,
      close: (item) => {
        this.closed.push(item);
        this.closedAtMs.push(performance.now() - this.#startedAtMs);
      },
    });
    this.closes.start();
  }
}

/** The most closes in any 100 ms. */
function mostInAWindow(times: readonly number[]): number {
  return Math.max(
    0,
    ...times.map((from) => times.filter((at) => at >= from && at < from + WINDOW_MS).length),
  );
}

/** A thread that is busy for so long: no timer fires, then the late one does. */
function stall(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
  vi.advanceTimersByTime(0);
}

describe("the closes", () => {
  test("come evenly, the first at once and the last at the end of the spread", () => {
    const { closedAtMs } = new Fixture({ count: 500, spreadMs: 5_000 });
    vi.advanceTimersByTime(6_000);
    expect(closedAtMs).toHaveLength(500);
    expect(closedAtMs[0]).toBe(0);
    expect(closedAtMs.at(-1)).toBeGreaterThan(4_900);
    expect(closedAtMs.at(-1)).toBeLessThanOrEqual(5_000);
    expect(mostInAWindow(closedAtMs)).toBeLessThanOrEqual(11);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("come all at once without a spread", () => {
    const { closed } = new Fixture({ count: 500, spreadMs: 0 });
    expect(closed).toHaveLength(500);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("of several threads do not fall together", () => {
    const threads = [0, 0.25, 0.5, 0.75].map((phase) => new Fixture({ count: 5, spreadMs: 400, phase }));
    expect(threads.map(({ closed }) => closed.length)).toEqual([1, 0, 0, 0]);
    vi.advanceTimersByTime(400);
    const times = threads.flatMap(({ closedAtMs }) => closedAtMs);
    expect(times).toHaveLength(20);
    expect(mostInAWindow(times)).toBeLessThanOrEqual(10);
  });

  test("of no connection are over at once", () => {
    expect(new Fixture({ count: 0, spreadMs: 5_000 }).closed).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("no 100 ms see twice their share, and the end is met", () => {
  test("however many and however long", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3_000 }),
        fc.integer({ min: 200, max: 10_000 }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (count, spreadMs, phase) => {
          const { closedAtMs, closes } = new Fixture({ count, spreadMs, phase });
          vi.advanceTimersByTime(spreadMs + 20);
          closes.stop();
          expect(closedAtMs).toHaveLength(count);
          const share = (count * WINDOW_MS) / spreadMs;
          expect(mostInAWindow(closedAtMs)).toBeLessThanOrEqual(Math.max(2 * share, 2));
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("who ends by itself", () => {
  test("is not closed, and the others go no slower for it", () => {
    const { closes, closed, closedAtMs } = new Fixture({ count: 100, spreadMs: 1_000 });
    for (let item = 20; item < 100; item++) closes.leave(item);
    vi.advanceTimersByTime(1_000);
    expect(closed).toEqual(Array.from({ length: 20 }, (_, item) => item));
    expect(closedAtMs.at(-1)).toBeLessThanOrEqual(200);
  });
});

describe("who comes late", () => {
  test("is closed behind the others", () => {
    const { closes, closed } = new Fixture({ count: 3, spreadMs: 300 });
    closes.add(99);
    vi.advanceTimersByTime(1_000);
    expect(closed).toEqual([0, 1, 2, 99]);
  });

  test("is closed at once where the others are gone", () => {
    const { closes, closed } = new Fixture({ count: 1, spreadMs: 300 });
    closes.add(99);
    expect(closed).toEqual([0, 99]);
  });
});

describe("after a stall", () => {
  test("the rest is spread over the time left", () => {
    const fixture = new Fixture({ count: 500, spreadMs: 5_000 });
    vi.advanceTimersByTime(1_000);
    const before = fixture.closed.length;
    stall(1_000);
    vi.advanceTimersByTime(10);
    // The tick that came late: one or two milliseconds' worth, not a second's.
    expect(fixture.closed.length - before).toBeLessThan(6);
    vi.advanceTimersByTime(4_000);
    expect(fixture.closed).toHaveLength(500);
    expect(mostInAWindow(fixture.closedAtMs)).toBeLessThanOrEqual(20);
  });

  test("that outlasts the spread, they still come no faster than one and a half times", () => {
    const fixture = new Fixture({ count: 500, spreadMs: 5_000 });
    stall(5_000);
    vi.advanceTimersByTime(3_000);
    expect(fixture.closed.length).toBeLessThan(500);
    expect(mostInAWindow(fixture.closedAtMs)).toBeLessThanOrEqual(20);
    vi.advanceTimersByTime(1_000);
    expect(fixture.closed).toHaveLength(500);
  });

  test("they are over in time, at whatever pace that takes", () => {
    const fixture = new Fixture({ count: 500, spreadMs: 5_000, withinMs: 5_200 });
    stall(5_000);
    vi.advanceTimersByTime(210);
    expect(fixture.closed).toHaveLength(500);
  });
});
