// Who is turned away when Weir is short of memory or time: in which order, from when, and until when.
import { beforeEach, describe, expect, test } from "vitest";

import type { OverloadConfig, Priority } from "../../../src/config/schema-limits.ts";
import { Overload } from "../../../src/control-plane/overload.ts";

let share: number;
let delayMs: number;
let nowMs: number;
let logged: [string, unknown][];
let overload: Overload;

const TIERS = {
  vip: { priority: "high" },
  normal: { priority: "normal" },
  guest: { priority: "low" },
} as const;
const BOTH: OverloadConfig = { memory: 0.7, eventLoopDelay: 100 };

beforeEach(() => {
  share = 0.1;
  delayMs = 0;
  nowMs = 100_000;
  logged = [];
  overload = new Overload({
    resources: () => ({ memory: { share }, eventLoopDelayMs: { main: 0, workers: [0, delayMs] } }),
    log: {
      warn: (message, fields) => logged.push([message, fields]),
      info: (message, fields) => logged.push([message, fields]),
    },
    now: () => nowMs,
  });
  configure(BOTH);
});

function configure(
  bounds: OverloadConfig | null,
  tiers: Readonly<Record<string, { priority: Priority }>> = TIERS,
) {
  overload.configure({ limits: { overload: bounds }, tiers });
}

function look(afterMs = 1_000): string[] {
  nowMs += afterMs;
  overload.look();
  return Object.keys(TIERS).filter((tier) => overload.refuses(tier));
}

describe("the lowest priority is refused first", () => {
  test.each([
    [0.7, []],
    [0.701, ["guest"]],
    [0.79, ["guest"]],
    [0.81, ["normal", "guest"]],
    [0.91, ["vip", "normal", "guest"]],
    [1, ["vip", "normal", "guest"]],
  ])("by a memory of %d with 70%% allowed", (memory, refused) => {
    share = memory;
    expect(look()).toEqual(refused);
  });

  test.each([
    [100, []],
    [101, ["guest"]],
    [200, ["guest"]],
    [201, ["normal", "guest"]],
    [401, ["vip", "normal", "guest"]],
  ])("by a delay of %d ms with 100 ms allowed", (ms, refused) => {
    delayMs = ms;
    expect(look()).toEqual(refused);
  });

  test("by whichever is worse", () => {
    [share, delayMs] = [0.75, 250];
    expect(look()).toEqual(["normal", "guest"]);
  });

  test.each([
    [["normal"], 101, ["normal"]],
    [["high"], 101, ["high"]],
    [["high", "low"], 101, ["low"]],
    [["high", "low"], 201, ["high", "low"]],
    [["high", "low"], 401, ["high", "low"]],
  ] as [Priority[], number, string[]][])(
    "of those that there are: %j at %d ms",
    (priorities, ms, refused) => {
      configure(BOTH, Object.fromEntries(priorities.map((priority) => [priority, { priority }])));
      delayMs = ms;
      overload.look();
      expect(priorities.filter((tier) => overload.refuses(tier))).toEqual(refused);
    },
  );
});

test("what is off is not looked at", () => {
  configure({ memory: null, eventLoopDelay: 100 });
  share = 1;
  expect(look()).toEqual([]);
  [share, delayMs] = [0.1, 10_000];
  configure({ memory: 0.7, eventLoopDelay: null });
  expect(look()).toEqual([]);
  configure(null);
  share = 1;
  expect(look()).toEqual([]);
});

describe("relief", () => {
  test("comes step by step, each only well below where it was entered", () => {
    delayMs = 500;
    expect(look()).toHaveLength(3);
    delayMs = 399;
    expect(look(60_000)).toHaveLength(3);
    delayMs = 359;
    expect(look()).toHaveLength(2);
    delayMs = 181;
    expect(look()).toHaveLength(2);
    delayMs = 91;
    expect(look()).toHaveLength(1);
    delayMs = 90;
    expect(look()).toHaveLength(0);
  });

  test("waits for five seconds without what was too much", () => {
    delayMs = 150;
    expect(look()).toEqual(["guest"]);
    delayMs = 10;
    for (let second = 1; second < 5; second += 1) expect(look()).toEqual(["guest"]);
    expect(look()).toEqual([]);
  });

  test("does not flap around the bound", () => {
    for (let second = 0; second < 60; second += 1) {
      delayMs = second % 2 === 0 ? 105 : 10;
      expect(look()).toEqual(["guest"]);
    }
    expect(logged).toHaveLength(1);
  });
});

test("each change is logged once, with whom it is about and why", () => {
  [share, delayMs] = [0.1234, 250.4];
  look();
  look();
  [share, delayMs] = [0.1, 0];
  look(5_000);
  look();
  expect(logged).toEqual([
    [
      "overloaded: new work is refused",
      { priorities: ["low", "normal"], memory: "12.3%", eventLoopDelay: "250ms" },
    ],
    ["no overload any more: new work of all tiers is taken", { memory: "10%", eventLoopDelay: "0ms" }],
  ]);
});

test("other bounds count at once, both ways, and a tier that is gone has the default's priority", () => {
  share = 0.75;
  expect(look()).toEqual(["guest"]);
  configure({ memory: 0.8, eventLoopDelay: null });
  expect(overload.refuses("guest")).toBe(false);
  configure({ memory: 0.5, eventLoopDelay: null });
  expect(overload.refuses("guest")).toBe(true);
  expect(overload.refuses("gone")).toBe(true);
  configure(null);
  expect(overload.refuses("guest")).toBe(false);
});
