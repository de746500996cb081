// Which sockets make room where the process has no files to spare.
import { afterEach, beforeEach, expect, test } from "vitest";

import { ClientSockets } from "../../../src/data-plane/client-sockets.ts";
import { countSocket, openSockets, shareCounts } from "../../../src/data-plane/open-sockets.ts";
import { FakeSocket } from "../../support/fake-socket.ts";

/** So many that ask for nothing always have their time. */
const KEPT = 32;
const ROOM = 50;

/** Of this thread and of the one beside it. */
let counts: Int32Array;
let cut: [socket: unknown, hasAsked: boolean][];
let sockets: ClientSockets;

beforeEach(() => {
  const buffer = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
  counts = new Int32Array(buffer);
  shareCounts(buffer, 0);
  cut = [];
  sockets = new ClientSockets({ room: ROOM, onCut: (...what) => void cut.push(what) });
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

test("then the oldest that has asked for nothing, one for each that comes", async () => {
  const [first, second] = enter(ROOM);
  const [late] = enter(1);
  expect(cut).toEqual([[first, false]]);
  expect(first?.destroyed).toBe(true);
  await closed(first as FakeSocket);
  enter(1);
  expect(cut.map(([socket]) => socket)).toEqual([first, second]);
  expect(late?.destroyed).toBe(false);
  expect(openSockets()).toBeLessThanOrEqual(ROOM + 1);
});

test("before those, the one that had its answers first", () => {
  const [first, asks, answered, answeredLater] = enter(ROOM);
  for (const socket of [asks, answered, answeredLater]) sockets.onRequest(socket!.asSocket);
  for (const socket of [answered, answeredLater]) sockets.onAnswered(socket!.asSocket);
  enter(3);
  expect(cut).toEqual([
    [answered, true],
    [answeredLater, true],
    [first, false],
  ]);
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
  expect(cut).toEqual([[next, false]]);
});

test("one that is closed is none any more", async () => {
  const [first, second] = enter(2);
  await closed(first as FakeSocket);
  sockets.onRequest(second!.asSocket);
  sockets.onAnswered(second!.asSocket);
  await closed(second as FakeSocket);
  expect([sockets.newcomers, openSockets()]).toEqual([0, 0]);
  sockets.onAnswered(second!.asSocket);
  enter(ROOM + 1);
  expect(cut).toHaveLength(1);
  expect(cut[0]?.[0]).not.toBe(second);
});

test("those that ask for nothing can be cut, and nobody else", () => {
  const [silent, idle, busy, other] = enter(4);
  for (const socket of [idle, busy]) sockets.onRequest(socket!.asSocket);
  sockets.onAnswered(idle!.asSocket);
  sockets.cut((socket) => socket !== other!.asSocket);
  expect([silent, idle, busy, other].map((socket) => socket!.destroyed)).toEqual([true, true, false, false]);
});
