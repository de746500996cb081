// Which threads hear of a tap, and who hears what they see.
import { beforeEach, expect, test } from "vitest";
import { type TapListener, Taps } from "../../../src/control-plane/taps.ts";
import type { Thread } from "../../../src/control-plane/thread.ts";
import { Channel, type ToWorker } from "../../../src/shared-memory/channel.ts";
import type { TappedBatch } from "../../../src/shared-memory/tapped-frame.ts";
import { until } from "../../support/until.ts";

/** What each thread was sent, in order: its serial and the message. */
let posted: [number, ToWorker][];
let threads: Thread[];
let taps: Taps;
let heard: string[];

beforeEach(() => {
  posted = [];
  heard = [];
  threads = [thread(1), thread(2)];
  taps = new Taps(() => threads);
});

function thread(serial: number): Thread {
  const postMessage = (batch: unknown): void => {
    for (const message of batch as ToWorker[]) posted.push([serial, message]);
  };
  return { serial, index: 0, channel: new Channel<ToWorker>({ postMessage }) };
}

function listener(name: string): TapListener {
  return {
    onFrames: ({ frames }) => void heard.push(`${name}: ${frames}`),
    onOver: () => void heard.push(`${name}: over`),
  };
}

function batchOf(tap: number, isOver = false): TappedBatch {
  return { tap, frames: "{}", count: 1, lost: 0, isOver };
}

function sent(count: number): Promise<[number, ToWorker][]> {
  return until(`${count} messages`, () => posted.length === count && posted.toSorted((a, b) => a[0] - b[0]));
}

test("a tap on a user is every thread's, those that start later too, until it is closed", async () => {
  const close = taps.open({ user: "ann" }, listener("tap"));
  const late = thread(3);
  threads.push(late);
  taps.onStart(late);
  const filter = { user: "ann" };
  expect(await sent(3)).toEqual([
    [1, { type: "tap", id: 1, filter, idPrefix: "1-" }],
    [2, { type: "tap", id: 1, filter, idPrefix: "2-" }],
    [3, { type: "tap", id: 1, filter, idPrefix: "3-" }],
  ]);
  posted = [];
  close();
  close();
  taps.onStart(thread(4));
  expect(await sent(3)).toEqual([1, 2, 3].map((serial) => [serial, { type: "untap", id: 1 }]));
  expect(taps.size).toBe(0);
});

test("a tap on a connection is its thread's alone, and over when that one dies", async () => {
  taps.open({ worker: 2, connection: 7 }, listener("tap"));
  expect(await sent(1)).toEqual([[2, { type: "tap", id: 1, filter: { connection: 7 }, idPrefix: "2-" }]]);
  taps.onStart(thread(3));
  const [first, second] = threads;
  if (first !== undefined) taps.onDeath(first);
  expect(heard).toEqual([]);
  if (second !== undefined) taps.onDeath(second);
  expect(heard).toEqual(["tap: over"]);
});

test("each batch goes to its own listener, and its thread hears that it has arrived", async () => {
  taps.open({ user: "ann" }, listener("a"));
  const close = taps.open({ worker: 1, connection: 7 }, listener("b"));
  await sent(3);
  posted = [];
  const [first = thread(1)] = threads;
  taps.onTapped(first, batchOf(1));
  taps.onTapped(first, batchOf(2, true));
  expect(heard).toEqual(["a: {}", "b: {}", "b: over"]);
  expect(await sent(2)).toEqual([1, 2].map((id) => [1, { type: "tapped-arrived", id }]));
  close();
  taps.onTapped(first, batchOf(2));
  expect(heard).toHaveLength(3);
});
