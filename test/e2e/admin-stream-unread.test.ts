// The stream on real sockets, towards a client that does not read. Its clock is the test's, since half a minute is
// long to wait, and a message stays fresh as long as the test likes; what it sends first is more than the kernel takes for a peer.
import http from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Sockets } from "../../src/admin/sockets.ts";
import { Stream } from "../../src/admin/stream.ts";
import { LogBuffer } from "../../src/log-buffer.ts";
import { onCleanup } from "../support/cleanup.ts";
import { openRaw } from "../support/raw-client.ts";
import { recordingLog } from "../support/recording-log.ts";
import { untilEqual } from "../support/until.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

const FIRST_BYTES = 32 * 1024 * 1024;

interface Numbered {
  readonly number: number;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
});

afterEach(() => {
  vi.useRealTimers();
});

async function startStream(): Promise<{ stream: Stream; url: string; tick: () => Promise<number> }> {
  let made = 0;
  const message = (): Promise<object> => {
    made += 1;
    return Promise.resolve({ number: made, padding: "x".repeat(made === 1 ? FIRST_BYTES : 0) });
  };
  const stream = new Stream({ message, logs: new LogBuffer(), log: recordingLog(() => {}) });
  const sockets = new Sockets([stream.endpoint]);
  const server = http.createServer();
  server.on("upgrade", (request, socket, head) => {
    const url = new URL(request.url ?? "/", "http://admin");
    sockets.accept({ request, socket, head, url });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onCleanup("the stream", async () => {
    sockets.close();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const tick = async () => {
    await vi.advanceTimersByTimeAsync(1_000);
    return made;
  };
  return { stream, url: `ws://127.0.0.1:${port}/api/stream`, tick };
}

async function nextNumber(client: WsClient): Promise<number> {
  return (JSON.parse(await client.nextText()) as Numbered).number;
}

test("one that reads nothing for 30 messages is cut; one that reads gets each", async () => {
  const { stream, url, tick } = await startStream();
  const { connection: unread } = await openRaw(url);
  unread.pause();
  const reader = await openClient(url);
  expect(await nextNumber(reader)).toBe(1);
  for (let second = 1; second < 30; second += 1) {
    const made = await tick();
    expect(await nextNumber(reader)).toBe(made);
  }
  expect(stream.size).toBe(2);
  const last = await tick();
  await untilEqual("streams", 1, () => stream.size);
  expect(await nextNumber(reader)).toBe(last);
});

test("one that reads again in time goes on with the newest, and has missed what came in between", async () => {
  const { stream, url, tick } = await startStream();
  const client = await openClient(url);
  client.socket.pause();
  for (let second = 1; second <= 20; second += 1) await tick();
  client.socket.resume();
  expect(await nextNumber(client)).toBe(1);
  const newest = await tick();
  expect(await nextNumber(client)).toBe(newest);
  expect([newest, stream.size]).toEqual([22, 1]);
});
