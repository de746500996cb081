// When a client counts as heard of: the main thread reads it from the cells.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ActivityWatch } from "../../../src/data-plane/activity-watch.ts";

const SWEEP_MS = 2_000;

interface FakeConnection {
  readonly grant: { readonly activityCell: number | null };
  clientBytesRead: number;
  isClientPaused: boolean;
}

let cells: Float64Array;
let nowMs: number;
let watch: ActivityWatch;

beforeEach(() => {
  vi.useFakeTimers();
  cells = new Float64Array(3);
  nowMs = 0;
  watch = new ActivityWatch(cells, { nowMs: () => nowMs });
});

afterEach(() => {
  vi.useRealTimers();
});

function started(activityCell: number | null): FakeConnection {
  const connection = { grant: { activityCell }, clientBytesRead: 0, isClientPaused: false };
  watch.start(connection);
  return connection;
}

function sweepAt(ms: number): number[] {
  nowMs = ms;
  vi.advanceTimersByTime(SWEEP_MS);
  return [...cells];
}

describe("a client", () => {
  test("of which anything was read since the last look is heard of now, the others when they were", () => {
    const [first, second] = [started(0), started(1)];
    first.clientBytesRead += 1;
    expect(sweepAt(100)).toEqual([100, 0, 0]);
    second.clientBytesRead += 1_000;
    expect(sweepAt(200)).toEqual([100, 200, 0]);
    expect(sweepAt(300)).toEqual([100, 200, 0]);
  });

  test("that Weir does not read is not called silent", () => {
    const held = started(0);
    started(1);
    held.isClientPaused = true;
    expect(sweepAt(100)).toEqual([100, 0, 0]);
    expect(sweepAt(200)).toEqual([200, 0, 0]);
    held.isClientPaused = false;
    expect(sweepAt(300)).toEqual([200, 0, 0]);
  });

  test("without a cell is passed over", () => {
    const connection = started(null);
    connection.clientBytesRead += 1;
    expect(sweepAt(100)).toEqual([0, 0, 0]);
  });

  test("that is gone leaves its cell to the next one", () => {
    const gone = started(0);
    started(1);
    watch.stop(gone);
    gone.clientBytesRead += 1;
    expect(sweepAt(100)).toEqual([0, 0, 0]);
  });
});

test("no timer runs without connections, and one alone with them", () => {
  const connections = [started(0), started(1)];
  expect(vi.getTimerCount()).toBe(1);
  for (const connection of connections) watch.stop(connection);
  expect(vi.getTimerCount()).toBe(0);
  const late = started(2);
  late.clientBytesRead += 1;
  expect(sweepAt(100)).toEqual([0, 0, 100]);
});
