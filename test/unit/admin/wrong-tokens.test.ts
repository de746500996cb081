import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WrongTokens } from "../../../src/admin/wrong-tokens.ts";
import { recordingLog } from "../../support/recording-log.ts";

let lines: [string, unknown][];
let wrongTokens: WrongTokens;

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  wrongTokens = new WrongTokens(recordingLog((_level, message, fields) => lines.push([message, fields])));
});

afterEach(() => {
  wrongTokens.stop();
  vi.useRealTimers();
});

test("answers to wrong tokens are late", async () => {
  let isAnswered = false;
  void wrongTokens.delay("192.0.2.1").then(() => (isAnswered = true));
  await vi.advanceTimersByTimeAsync(499);
  expect(isAnswered).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(isAnswered).toBe(true);
});

test("no more than 200 answers are held back at once: the oldest goes early", async () => {
  const answered: number[] = [];
  for (let one = 0; one < 203; one += 1) void wrongTokens.delay("192.0.2.1").then(() => answered.push(one));
  await vi.advanceTimersByTimeAsync(0);
  expect(answered).toEqual([0, 1, 2]);
  await vi.advanceTimersByTimeAsync(500);
  expect(answered).toHaveLength(203);
});

test("are logged with their address, and by their number where they come by the dozen", async () => {
  for (let one = 0; one < 30; one += 1) void wrongTokens.delay("192.0.2.1");
  expect(lines).toEqual([["admin request with a wrong token", { address: "192.0.2.1" }]]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lines.slice(1)).toEqual([
    ["more admin requests with a wrong token", { requests: 29, address: "192.0.2.1" }],
  ]);
  void wrongTokens.delay("192.0.2.2");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lines.slice(2)).toEqual([["admin request with a wrong token", { address: "192.0.2.2" }]]);
});

test("all answers go at the end, and no timer stays", async () => {
  let isAnswered = false;
  void wrongTokens.delay("192.0.2.1").then(() => (isAnswered = true));
  wrongTokens.stop();
  await vi.advanceTimersByTimeAsync(0);
  expect([isAnswered, vi.getTimerCount()]).toEqual([true, 0]);
});
