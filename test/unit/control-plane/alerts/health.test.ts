import { beforeEach, expect, test } from "vitest";

import type { Situation } from "../../../../src/control-plane/alerts/conditions.ts";
import { Health } from "../../../../src/control-plane/alerts/health.ts";
import { recordingLog } from "../../../support/recording-log.ts";
import { situation, usualAlerts } from "./situation-of.ts";

const fine = situation({});
const oneDown = situation({ pools: [{ pool: "chat", backends: 2, down: 1, ready: 1 }] });
const allDown = situation({ pools: [{ pool: "chat", backends: 2, down: 2, ready: 0 }] });
const late = situation({ eventLoopDelayMs: { main: 500, workers: [] } });

let nowMs: number;
let at: Situation;
let told: string[];
let logged: unknown[][];
let health: Health;

beforeEach(() => {
  nowMs = 1_000;
  at = fine;
  told = [];
  logged = [];
  health = new Health(usualAlerts, {
    situation: () => at,
    log: recordingLog((...line) => void logged.push(line)),
    onChange: ({ verdict }, before) => void told.push(`${before} to ${verdict}`),
    now: () => nowMs,
  });
});

/** So many looks, a second apart. */
function look(seconds: number): void {
  for (let i = 0; i < seconds; i++) {
    health.look();
    nowMs += 1_000;
  }
}

test("is ok as long as nothing is wrong, and tells nobody", () => {
  look(100);
  expect(health.current).toMatchObject({ verdict: "ok", reasons: [] });
  expect([told, logged]).toEqual([[], []]);
});

test("a change is told, logged and counted once, with its reasons", () => {
  at = oneDown;
  look(5);
  expect(health.current).toMatchObject({
    verdict: "degraded",
    since: expect.stringMatching(/Z$/),
    reasons: [
      { code: "backends_down", message: "1 of 2 backends of pool chat are down", value: 1, threshold: null },
    ],
  });
  expect(told).toEqual(["ok to degraded"]);
  expect(logged).toEqual([
    ["warn", "health is degraded", { before: "ok", reasons: ["1 of 2 backends of pool chat are down"] }],
  ]);
  expect(health.changes).toEqual({ ok: 0, degraded: 1, unhealthy: 0 });
});

test("is well again only after ten seconds without what was wrong", () => {
  at = oneDown;
  look(1);
  at = fine;
  look(9);
  expect(health.current.verdict).toBe("degraded");
  look(1);
  expect(health.current).toMatchObject({ verdict: "ok", reasons: [] });
  expect(told).toEqual(["ok to degraded", "degraded to ok"]);
  expect(logged.at(-1)).toEqual(["info", "health is ok", { before: "degraded", reasons: [] }]);
});

test("what comes and goes is one change, not many", () => {
  for (let i = 0; i < 30; i++) {
    at = i % 2 === 0 ? oneDown : fine;
    look(3);
  }
  expect(told).toEqual(["ok to degraded"]);
});

test("goes over degraded on its way from unhealthy to ok", () => {
  at = allDown;
  look(1);
  at = oneDown;
  look(30);
  at = fine;
  look(30);
  expect(told).toEqual(["ok to unhealthy", "unhealthy to degraded", "degraded to ok"]);
});

test("a late event loop counts once it has been late for ten seconds", () => {
  at = late;
  look(10);
  expect(health.current.verdict).toBe("ok");
  at = fine;
  look(1);
  at = late;
  look(10);
  expect(health.current.verdict).toBe("ok");
  look(1);
  expect(health.current.verdict).toBe("degraded");
});

test("new thresholds count from the next look on", () => {
  health.configure({ ...usualAlerts, eventLoopDelay: null });
  at = late;
  look(20);
  expect(health.current.verdict).toBe("ok");
  health.configure(usualAlerts);
  look(11);
  expect(health.current.verdict).toBe("degraded");
});
