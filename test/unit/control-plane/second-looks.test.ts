import { beforeEach, expect, test } from "vitest";
import { SecondLooks } from "../../../src/control-plane/second-looks.ts";
import type { Thread } from "../../../src/control-plane/thread.ts";
import { Channel, type ToWorker } from "../../../src/shared-memory/channel.ts";
import { requestOf } from "./request-of.ts";

const first = thread(1);
const second = thread(2);

/** What was looked at, by thread and id. */
let looked: [number, number][];
/** Ends each round that was begun. */
let rounds: (() => void)[];
let looks: SecondLooks;

beforeEach(() => {
  looked = [];
  rounds = [];
  looks = new SecondLooks({
    catchUp: () => new Promise((resolve) => rounds.push(resolve)),
    look: ({ serial }, { id }) => void looked.push([serial, id]),
  });
});

function thread(serial: number): Thread {
  return { serial, index: 0, channel: new Channel<ToWorker>({ postMessage() {} }) };
}

async function endRound(): Promise<void> {
  rounds.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
}

test("a request is looked at again behind the news of all threads, and once", async () => {
  looks.add(first, requestOf({ id: 1 }), "user_full");
  looks.add(second, requestOf({ id: 1 }), "user_full");
  expect(looked).toEqual([]);
  await endRound();
  expect(looked).toEqual([[1, 1]]);
  await endRound();
  expect(looked).toEqual([
    [1, 1],
    [2, 1],
  ]);
  expect(rounds).toEqual([]);
});

test("one round serves all that came before it", async () => {
  looks.add(first, requestOf({ id: 1 }), "user_full");
  for (const id of [2, 3, 4]) looks.add(first, requestOf({ id }), "user_full");
  await endRound();
  await endRound();
  expect(looked.map(([, id]) => id)).toEqual([1, 2, 3, 4]);
  looks.add(first, requestOf({ id: 5 }), "user_full");
  expect(rounds).toHaveLength(1);
});

test("whoever leaves meanwhile, or dies with its thread, is forgotten", async () => {
  looks.add(first, requestOf({ id: 1 }), "user_full");
  looks.add(first, requestOf({ id: 2 }), "user_full");
  looks.add(second, requestOf({ id: 2 }), "user_full");
  looks.leave(first, 1);
  looks.onDeath(second);
  await endRound();
  await endRound();
  expect(looked).toEqual([[1, 2]]);
});
