import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Questions } from "../../../src/control-plane/questions.ts";
import { Channel, type ToWorker } from "../../../src/shared-memory/channel.ts";

let questions: Questions;
let posted: ToWorker[];

beforeEach(() => {
  vi.useFakeTimers();
  questions = new Questions();
  posted = [];
});

afterEach(() => {
  vi.useRealTimers();
});

function thread(serial: number): Parameters<Questions["ask"]>[0] {
  const port = { postMessage: (batch: unknown) => void posted.push(...(batch as ToWorker[])) };
  return { serial, index: 0, channel: new Channel<ToWorker>(port) };
}

test("each answer goes to who asked", async () => {
  const first = questions.ask(thread(1), { kind: "busiest" });
  const second = questions.ask(thread(2), { kind: "connections", ids: [7] });
  await vi.advanceTimersByTimeAsync(10);
  expect(posted).toEqual([
    { type: "question", id: 1, question: { kind: "busiest" } },
    { type: "question", id: 2, question: { kind: "connections", ids: [7] } },
  ]);
  questions.onAnswer(2, { kind: "connections", connections: [] });
  questions.onAnswer(1, { kind: "busiest", users: [] });
  expect(await first).toEqual({ kind: "busiest", users: [] });
  expect(await second).toEqual({ kind: "connections", connections: [] });
  expect(vi.getTimerCount()).toBe(0);
});

test("catching up takes until each thread has answered, and 100 ms for those that hang", async () => {
  const caughtUp = vi.fn<() => void>();
  const catchingUp = questions.catchUp([thread(1), thread(2)]).then(caughtUp);
  await vi.advanceTimersByTimeAsync(10);
  expect(posted.map((message) => message.type === "question" && message.question)).toEqual([
    { kind: "news" },
    { kind: "news" },
  ]);
  questions.onAnswer(1, { kind: "news" });
  await vi.advanceTimersByTimeAsync(89);
  expect(caughtUp).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  await catchingUp;
  expect(vi.getTimerCount()).toBe(0);
});

test("a thread that hangs has no answer, and a late one is nobody's", async () => {
  const answer = questions.ask(thread(1), { kind: "busiest" });
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await answer).toBeNull();
  questions.onAnswer(1, { kind: "busiest", users: [] });
  const hasty = questions.ask(thread(1), { kind: "busiest" }, 500);
  await vi.advanceTimersByTimeAsync(500);
  expect(await hasty).toBeNull();
});

test("a thread that dies has none either, at once", async () => {
  const [dead, other] = [thread(1), thread(2)];
  const unanswered = questions.ask(dead, { kind: "busiest" });
  const answered = questions.ask(other, { kind: "busiest" });
  questions.onDeath(dead);
  expect(await unanswered).toBeNull();
  questions.onAnswer(2, { kind: "busiest", users: [] });
  expect(await answered).toEqual({ kind: "busiest", users: [] });
});
