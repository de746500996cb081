import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Backend } from "../../../src/control-plane/backend.ts";
import { Departures } from "../../../src/control-plane/departures.ts";
import { configOfPools, specsOf } from "./config-of-pools.ts";

interface Connection {
  readonly id: number;
}

let backend: Backend;
let open: Connection[];
let closed: [id: number, reason: string][];
let departures: Departures<Connection>;

beforeEach(() => {
  vi.useFakeTimers();
  const [spec] = specsOf(configOfPools({ chat: { backends: [{ id: "a" }] } }))("chat");
  if (spec === undefined) throw new Error("there is one");
  backend = new Backend("chat", spec);
  closed = [];
  connect(100);
  departures = new Departures({
    openOn: () => open,
    close: ({ id }, reason) => void closed.push([id, reason]),
    now: () => performance.now(),
  });
});

afterEach(() => {
  departures.stop();
  if (vi.getTimerCount() > 0) throw new Error("a timer is left");
  vi.useRealTimers();
});

function connect(count: number): void {
  open = Array.from({ length: count }, (_, id) => ({ id }));
  backend.connections = count;
}

const spread = { reason: "backend_draining", graceMs: 1_000, spreadMs: 10_000 } as const;

describe("the connections of a backend that is sent away", () => {
  test("may leave by themselves first, and are then closed evenly over the spread, each once", () => {
    departures.begin(backend, spread);
    vi.advanceTimersByTime(950);
    expect(closed).toEqual([]);
    const perSecond: number[] = [];
    for (let second = 0; second < 10; second += 1) {
      const before = closed.length;
      vi.advanceTimersByTime(1_000);
      perSecond.push(closed.length - before);
    }
    expect(Math.min(...perSecond)).toBeGreaterThanOrEqual(9);
    expect(Math.max(...perSecond)).toBeLessThanOrEqual(11);
    vi.advanceTimersByTime(1_000);
    expect(closed.length).toBe(100);
    expect(new Set(closed.map(([id]) => id)).size).toBe(100);
    expect(new Set(closed.map(([, reason]) => reason))).toEqual(new Set(["backend_draining"]));
  });

  test("count those that leave by themselves as gone: nobody is closed before its time", () => {
    departures.begin(backend, { ...spread, graceMs: 0 });
    open = open.slice(50);
    vi.advanceTimersByTime(4_000);
    expect(closed.length).toBe(0);
    vi.advanceTimersByTime(6_000);
    expect(closed.length).toBe(50);
  });

  test("are closed at once without a spread, and those that are still dialled as soon as they open", () => {
    backend.connections = 101;
    departures.begin(backend, { reason: "backend_lost", graceMs: 0, spreadMs: 0 });
    expect(closed.length).toBe(100);
    open.push({ id: 100 });
    vi.advanceTimersByTime(50);
    expect(closed.at(-1)).toEqual([100, "backend_lost"]);
    backend.connections = 0;
    vi.advanceTimersByTime(50);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("stay where the backend comes back meanwhile", () => {
    departures.begin(backend, { ...spread, graceMs: 0 });
    vi.advanceTimersByTime(5_000);
    const half = closed.length;
    departures.cancel(backend);
    vi.advanceTimersByTime(60_000);
    expect([half, closed.length]).toEqual([half, half]);
    expect(half).toBeGreaterThan(40);
    expect(half).toBeLessThan(60);
  });

  test("go faster when the backend is set down during its drain", () => {
    departures.begin(backend, spread);
    vi.advanceTimersByTime(2_000);
    departures.begin(backend, { reason: "backend_draining", graceMs: 0, spreadMs: 0 });
    expect(closed.length).toBe(100);
    expect(new Set(closed.map(([id]) => id)).size).toBe(100);
  });

  test("need nothing where there are none", () => {
    connect(0);
    departures.begin(backend, spread);
    expect(vi.getTimerCount()).toBe(0);
  });
});
