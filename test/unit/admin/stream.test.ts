// The stream towards clients that do not read.
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { WebSocket } from "ws";
import { LogBuffer } from "../../../src/log-buffer.ts";
import { recordingLog } from "../../support/recording-log.ts";
import { Stream } from "../../../src/admin/stream.ts";

class FakeWebSocket extends EventEmitter {
  bufferedAmount = 0;
  readonly sent: unknown[] = [];

  send(bytes: Buffer, options: { readonly binary: boolean }): void {
    this.sent.push(options.binary ? bytes : JSON.parse(bytes.toString()));
  }

  terminate(): void {
    this.emit("close");
  }
}

let made: number;
let logs: LogBuffer;
let told: string[];
let isBroken: boolean;
let stream: Stream;

beforeEach(() => {
  vi.useFakeTimers();
  made = 0;
  logs = new LogBuffer();
  told = [];
  isBroken = false;
  const log = recordingLog((level, message) => void told.push(`${level} ${message}`));
  const message = (): Promise<object> =>
    isBroken ? Promise.reject(new Error("broken")) : Promise.resolve({ number: ++made });
  stream = new Stream({ logs, log, message });
});

afterEach(() => {
  vi.useRealTimers();
});

async function opened(): Promise<FakeWebSocket> {
  const socket = new FakeWebSocket();
  const url = new URL("http://admin/api/stream");
  stream.endpoint.prepare(url)(socket as unknown as WebSocket);
  await vi.advanceTimersByTimeAsync(0);
  return socket;
}

test("makes each message once for all who listen, and none while nobody does", async () => {
  await vi.advanceTimersByTimeAsync(5_000);
  expect(made).toBe(0);
  const sockets = [await opened(), await opened(), await opened()];
  expect(made).toBe(1);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(made).toBe(3);
  for (const { sent } of sockets) expect(sent).toEqual([{ number: 1 }, { number: 2 }, { number: 3 }]);
  for (const socket of sockets) socket.emit("close");
  await vi.advanceTimersByTimeAsync(5_000);
  expect([made, stream.size, vi.getTimerCount()]).toEqual([3, 0, 0]);
});

test("leaves out what a client has no room for, and sends it the newest once it has", async () => {
  const socket = await opened();
  socket.bufferedAmount = 1;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(socket.sent).toEqual([{ number: 1 }]);
  socket.bufferedAmount = 0;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(socket.sent).toEqual([{ number: 1 }, { number: 12 }]);
});

test("cuts a client that has read nothing for 30 seconds, and no other", async () => {
  const stuck = await opened();
  const slow = await opened();
  stuck.bufferedAmount = 1;
  slow.bufferedAmount = 1;
  await vi.advanceTimersByTimeAsync(20_000);
  slow.bufferedAmount = 0;
  await vi.advanceTimersByTimeAsync(1_000);
  slow.bufferedAmount = 1;
  expect(stream.size).toBe(2);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(stream.size).toBe(1);
  await vi.advanceTimersByTimeAsync(19_000);
  expect(stream.size).toBe(1);
});

function logMessages(socket: FakeWebSocket): string[][] {
  const messages = socket.sent as {
    readonly type?: string;
    readonly entries: { readonly message: string }[];
  }[];
  return messages
    .filter(({ type }) => type === "logs")
    .map(({ entries }) => entries.map(({ message }) => message));
}

test("sends the newest 200 log entries at first, then each new one once", async () => {
  for (let one = 1; one <= 300; one += 1) logs.add("info", `entry ${one}`, {});
  const first = await opened();
  await vi.advanceTimersByTimeAsync(1_000);
  const [entries = [], ...others] = logMessages(first);
  expect(others).toEqual([]);
  expect([entries.length, entries[0], entries.at(-1)]).toEqual([200, "entry 101", "entry 300"]);
  logs.add("info", "one", {});
  logs.add("info", "two", {});
  const second = await opened();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(logMessages(first).slice(1)).toEqual([["one", "two"]]);
  expect(logMessages(second)[0]?.at(-1)).toBe("two");
  logs.add("info", "three", {});
  await vi.advanceTimersByTimeAsync(2_000);
  for (const socket of [first, second]) expect(logMessages(socket).at(-1)).toEqual(["three"]);
});

test("sends a client that is behind what it has missed of the log, once it reads", async () => {
  const socket = await opened();
  socket.bufferedAmount = 1;
  for (const message of ["one", "two"]) {
    logs.add("info", message, {});
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(logMessages(socket)).toEqual([]);
  socket.bufferedAmount = 0;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(logMessages(socket)).toEqual([["one", "two"]]);
});

test("goes on after a message that could not be made", async () => {
  const socket = await opened();
  isBroken = true;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(told).toEqual(["error the status stream failed", "error the status stream failed"]);
  isBroken = false;
  await vi.advanceTimersByTimeAsync(1_000);
  expect(socket.sent).toEqual([{ number: 1 }, { number: 2 }]);
});
