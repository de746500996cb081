import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UpgradePace } from "../../../src/control-plane/upgrade-pace.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function pace(config: ConstructorParameters<typeof UpgradePace>[0]) {
  const turns: string[] = [];
  const timeouts: string[] = [];
  const owner = {
    onTurn: (item: string) => turns.push(item),
    onTimeout: (item: string) => timeouts.push(item),
  };
  return { turns, timeouts, pace: new UpgradePace<string, string>(config, owner, () => performance.now()) };
}

const config = { rate: 10, burst: 2, queue: 3, timeout: 1_000 };

test("lets the burst through at once, then one every 1/rate", () => {
  const { pace: line, turns } = pace(config);
  expect(["a", "b", "c", "d"].map((key) => line.request(key, key, "normal"))).toEqual([
    "go",
    "go",
    "waiting",
    "waiting",
  ]);
  vi.advanceTimersByTime(99);
  expect(turns).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(turns).toEqual(["c"]);
  vi.advanceTimersByTime(100);
  expect(turns).toEqual(["c", "d"]);
});

test("nobody overtakes those who wait, but a higher priority", () => {
  const { pace: line, turns } = pace(config);
  for (const key of ["a", "b", "low"]) line.request(key, key, "low");
  line.request("high", "high", "high");
  vi.advanceTimersByTime(200);
  expect(turns).toEqual(["high", "low"]);
});

test("is bounded, and ends the wait after the timeout", () => {
  const { pace: line, turns, timeouts } = pace({ ...config, rate: 0.1 });
  for (const key of ["a", "b", "c", "d", "e"]) line.request(key, key, "normal");
  expect(line.request("f", "f", "high")).toBe("full");
  vi.advanceTimersByTime(1_000);
  expect(timeouts).toEqual(["c", "d", "e"]);
  expect(turns).toEqual([]);
  expect(line.length).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("one that leaves takes no turn, and leaves no timer behind", () => {
  const { pace: line, turns } = pace(config);
  for (const key of ["a", "b", "c"]) line.request(key, key, "normal");
  expect(line.leave("c")).toBe("c");
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(turns).toEqual([]);
});

test("a pace that a reload takes away lets all through", () => {
  const { pace: line, turns } = pace(config);
  for (const key of ["a", "b", "c", "d"]) line.request(key, key, "normal");
  line.configure(null);
  expect(turns).toEqual(["c", "d"]);
  expect(line.request("e", "e", "low")).toBe("go");
});
