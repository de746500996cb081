import { beforeEach, expect, test } from "vitest";
import { SecondLooks } from "../../../src/control-plane/second-looks.ts";
import type { Thread } from "../../../src/control-plane/thread.ts";
import { Channel, type ToWorker } from "../../../src/shared-memory/channel.ts";

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
  });
});

function thread(serial: number): Thread {
  return { serial, index: 0, channel: new Channel<ToWorker>({ postMessage() {} }) };
}

function add(asking: Thread, id: number): void {
  looks.add(asking, id, () => void looked.push([asking.serial, id]));
}

async function endRound(): Promise<void> {
  rounds.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
}

test("a request is looked at again behind the news of all threads, and once", async () => {
  add(first, 1);
  add(second, 1);
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
  add(first, 1);
  for (const id of [2, 3, 4]) add(first, id);
  await endRound();
  await endRound();
  expect(looked.map(([, id]) => id)).toEqual([1, 2, 3, 4]);
  add(first, 5);
  expect(rounds).toHaveLength(1);
});

test("whoever leaves meanwhile, or dies with its thread, is forgotten", async () => {
  add(first, 1);
  add(first, 2);
  add(second, 2);
  looks.leave(first, 1);
  looks.onDeath(second);
  await endRound();
  await endRound();
  expect(looked).toEqual([[1, 2]]);
});
