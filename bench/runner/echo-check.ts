// Proves that a peer carries WebSockets rightly before anything of it is measured: a proxy that loses
// bytes is fast.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";

const DEADLINE_MS = 10_000;
const LARGE_BYTES = 100 * 1024;
const CLIENT_CODE = 4001;
const BACKEND_CODE = 4002;

/** Throws with what went wrong. */
export async function checkEcho(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { handshakeTimeout: DEADLINE_MS });
  try {
    await next(socket, "open");
    await expectEcho(socket, "text", "grüße", false);
    await expectEcho(socket, "an empty message", "", false);
    await expectEcho(socket, "binary", randomBytes(64), true);
    await expectEcho(socket, "100 KiB", randomBytes(LARGE_BYTES), true);
    await expectFragments(socket);
    const closed = next(socket, "close");
    socket.close(CLIENT_CODE, "done");
    expectCode(await closed, CLIENT_CODE);
  } finally {
    socket.terminate();
  }
  await checkBackendClose(port);
}

async function checkBackendClose(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/close/${BACKEND_CODE}`);
  try {
    expectCode(await next(socket, "close"), BACKEND_CODE);
  } finally {
    socket.terminate();
  }
}

async function expectEcho(
  socket: WebSocket,
  what: string,
  message: string | Buffer,
  isBinary: boolean,
): Promise<void> {
  const echoed = next(socket, "message");
  socket.send(message);
  expectMessage(what, await echoed, Buffer.from(message), isBinary);
}

async function expectFragments(socket: WebSocket): Promise<void> {
  const echoed = next(socket, "message");
  for (const [fragment, fin] of [
    ["one ", false],
    ["message in ", false],
    ["three", true],
  ] as const) {
    socket.send(fragment, { fin });
  }
  expectMessage("a fragmented message", await echoed, Buffer.from("one message in three"), false);
}

function expectMessage(what: string, event: unknown[], expected: Buffer, isBinary: boolean): void {
  const [data, wasBinary] = event;
  if (!Buffer.isBuffer(data) || !data.equals(expected)) throw new Error(`${what} came back changed`);
  if (wasBinary !== isBinary) throw new Error(`${what} came back as ${isBinary ? "text" : "binary"}`);
}

function expectCode(event: unknown[], expected: number): void {
  const [code] = event;
  if (code !== expected) throw new Error(`close code ${expected} arrived as ${String(code)}`);
}

function next(socket: WebSocket, event: string): Promise<unknown[]> {
  return once(socket, event, { signal: AbortSignal.timeout(DEADLINE_MS) });
}
