import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { EventLoopDelays } from "../../../src/shared-memory/event-loop-delay.ts";

const WINDOW_MS = 5_000;

let nowMs: number;
let delays: EventLoopDelays;
let cells: Float64Array;

beforeEach(() => {
  vi.useFakeTimers();
  nowMs = 1_000;
  delays = new EventLoopDelays(2, { nowMs: () => nowMs });
  cells = new Float64Array(delays.buffer);
});

afterEach(() => {
  delays.stop();
  vi.useRealTimers();
});

/** What a worker thread does every five seconds. */
function write(thread: number, delayMs: number): void {
  cells[thread * 2] = delayMs;
  cells[thread * 2 + 1] = nowMs;
}

function pass(ms: number): void {
  nowMs += ms;
  vi.advanceTimersByTime(ms);
}

describe("the delays of the worker threads", () => {
  test("are what they have written last, and nothing before they have", () => {
    expect(delays.latest.workers).toEqual([0, 0]);
    write(0, 12);
    write(1, 3);
    expect(delays.latest.workers).toEqual([12, 3]);
    write(0, 1);
    expect(delays.latest.workers).toEqual([1, 3]);
  });

  test("are remembered for three windows: no scrape misses one", () => {
    write(0, 40);
    pass(WINDOW_MS);
    for (let i = 0; i < 2; i++) {
      write(0, 1);
      pass(WINDOW_MS);
      expect(delays.latest.workers[0]).toBe(1);
      expect(delays.worst.workers[0]).toBe(40);
    }
    write(0, 1);
    pass(WINDOW_MS);
    expect(delays.worst.workers[0]).toBe(1);
  });

  test("grow while a thread that hangs does not come to write", () => {
    write(0, 2);
    nowMs += WINDOW_MS + 700;
    expect(delays.latest.workers).toEqual([700, 0]);
    expect(delays.worst.workers).toEqual([700, 0]);
  });
});

test("the main thread's own delay is measured, without the pace of the measuring", async () => {
  vi.useRealTimers();
  const own = new EventLoopDelays(0, { nowMs: () => performance.now() });
  own.reset();
  expect(own.latest).toEqual({ main: 0, workers: [] });
  own.stop();
});
