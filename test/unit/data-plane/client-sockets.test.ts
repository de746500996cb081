// Which sockets make room where the process has no files to spare.
import { afterEach, beforeEach, expect, test } from "vitest";

import { ClientSockets } from "../../../src/data-plane/client-sockets.ts";
import { countSocket, openSockets, shareCounts } from "../../../src/data-plane/open-sockets.ts";
import { FakeSocket } from "../../support/fake-socket.ts";

const KEPT = 32;
const ROOM = 50;

/** Of this thread and of the one beside it. */
let counts: Int32Array;
/** Of those that were cut: whether they had asked for something. */
let cut: boolean[];
let sockets: ClientSockets;

beforeEach(() => {
  const buffer = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
  counts = new Int32Array(buffer);
  shareCounts(buffer, 0);
  cut = [];
  sockets = new ClientSockets({ room: ROOM, kept: KEPT, onCut: (hasAsked) => void cut.push(hasAsked) });
});

// Those that were cut tell of their end after it.
afterEach(turn);

function enter(count: number): FakeSocket[] {
  return Array.from({ length: count }, () => {
    const socket = new FakeSocket();
    sockets.enter(socket.asSocket);
    return socket;
  });
}

function destroyedOf(...some: (FakeSocket | undefined)[]): boolean[] {
  return some.map((socket) => socket!.destroyed);
}

async function closed(socket: FakeSocket): Promise<void> {
  socket.destroy();
  await turn();
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test("as long as there are files, nobody", () => {
  enter(ROOM);
  expect(cut).toEqual([]);
  expect(sockets.newcomers).toBe(ROOM);
});

test("then the oldest that has asked for nothing, one for each that comes", () => {
  const [first, second, third] = enter(ROOM);
  const [late] = enter(1);
  expect(destroyedOf(first, second, late)).toEqual([true, false, false]);
  enter(1);
  expect(destroyedOf(first, second, third, late)).toEqual([true, true, false, false]);
  expect(cut).toEqual([false, false]);
  // Those that were cut count no more, though they have not told of their end yet.
  expect(openSockets()).toBe(ROOM);
});

test("whether it has never asked or has its answers makes no difference: who has waited longest goes", () => {
  const [asks, first, answered, second] = enter(ROOM);
  for (const socket of [asks, answered]) sockets.onRequest(socket!.asSocket);
  sockets.onAnswered(answered!.asSocket);
  enter(2);
  expect(destroyedOf(asks, first, answered, second)).toEqual([false, true, false, true]);
  const others = ROOM - 4;
  enter(others);
  expect(destroyedOf(asks, answered)).toEqual([false, false]);
  enter(1);
  expect(destroyedOf(asks, answered)).toEqual([false, true]);
  expect(cut.at(-1)).toBe(true);
});

test("before them all, who was refused and stays", () => {
  const [first, refused] = enter(ROOM);
  sockets.onRequest(refused!.asSocket);
  sockets.onRefused(refused!.asSocket);
  enter(1);
  expect(destroyedOf(first, refused)).toEqual([false, true]);
  expect(cut).toEqual([true]);
});

test("as many as it takes: who is served has taken another socket since", () => {
  const [first, second, third] = enter(ROOM);
  const toBackend = new FakeSocket();
  countSocket(toBackend.asSocket);
  enter(1);
  expect(destroyedOf(first, second, third)).toEqual([true, true, false]);
  expect(openSockets()).toBe(ROOM);
});

test("never one that asks for something, nor one of the few that always have their time", () => {
  const asking = enter(ROOM - KEPT);
  for (const socket of asking) sockets.onRequest(socket.asSocket);
  enter(KEPT);
  expect(cut).toEqual([]);
  const late = enter(1);
  expect([sockets.newcomers, cut.length]).toEqual([KEPT, 1]);
  for (const socket of late) sockets.onRequest(socket.asSocket);
  enter(1);
  expect([sockets.newcomers, cut.length]).toEqual([KEPT, 1]);
  expect([...asking, ...late].some(({ destroyed }) => destroyed)).toBe(false);
});

test("what other threads and sockets to backends take counts as well, until it is closed", async () => {
  counts[1] = ROOM - KEPT;
  const toBackend = new FakeSocket();
  countSocket(toBackend.asSocket);
  enter(KEPT - 1);
  expect(openSockets()).toBe(ROOM);
  expect(cut).toEqual([]);
  await closed(toBackend);
  expect(openSockets()).toBe(ROOM - 1);
  enter(1);
  expect(cut).toEqual([]);
  enter(1);
  expect(cut).toHaveLength(1);
});

test("a client read through another socket, as with TLS, keeps its file and is the newest", () => {
  const [accepted, next] = enter(ROOM);
  const secured = new FakeSocket();
  sockets.replace(accepted!.asSocket, secured.asSocket);
  expect(openSockets()).toBe(ROOM);
  expect(sockets.newcomers).toBe(ROOM);
  enter(1);
  expect(destroyedOf(next, secured)).toEqual([true, false]);
  expect(openSockets()).toBe(ROOM);
});

test("one that is closed is none any more", async () => {
  const [first, second] = enter(2);
  await closed(first as FakeSocket);
  sockets.onRequest(second!.asSocket);
  sockets.onAnswered(second!.asSocket);
  await closed(second as FakeSocket);
  expect([sockets.newcomers, openSockets()]).toEqual([0, 0]);
  sockets.onAnswered(second!.asSocket);
  sockets.onRefused(second!.asSocket);
  enter(ROOM + 1);
  expect(cut).toEqual([false]);
});

test("those that ask for nothing can be cut, and nobody else", () => {
  const [silent, idle, refused, busy, other] = enter(5);
  for (const socket of [idle, refused, busy]) sockets.onRequest(socket!.asSocket);
  sockets.onAnswered(idle!.asSocket);
  sockets.onRefused(refused!.asSocket);
  expect(sockets.cut((socket) => socket !== other!.asSocket)).toBe(3);
  expect(destroyedOf(silent, idle, refused, busy, other)).toEqual([true, true, true, false, false]);
});

test("who is refused before a request of it was heard of is a newcomer no more, and in one place only", async () => {
  const [socket] = enter(1);
  sockets.onAnswered(socket!.asSocket);
  sockets.onRefused(socket!.asSocket);
  // One tells that it counts no more, and one that it waits no more.
  expect([sockets.newcomers, socket!.listenerCount("close")]).toEqual([0, 2]);
  expect(sockets.cut(() => true)).toBe(1);
  await turn();
  expect([sockets.cut(() => true), openSockets()]).toEqual([0, 0]);
});
