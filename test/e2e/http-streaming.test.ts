// Bodies of plain HTTP pass as they come: nothing waits for their end, and nobody is read faster than the
// other side takes it.
import { describe, expect, test } from "vitest";

import { connectRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

describe("an answer", () => {
  test("streams: its first part arrives before its last is sent", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await connection.readHead();
    expect((await connection.readBytes(10)).toString()).toBe("5\r\nfirst\r\n");
    await (await backend.connection(0)).write("4\r\nlast\r\n0\r\n\r\n");
    expect((await connection.readBytes(14)).toString()).toBe("4\r\nlast\r\n0\r\n\r\n");
  });

  test("is not read faster than its client takes it", async () => {
    const bytes = 64 * 1024 * 1024;
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
      await flood(connection, bytes);
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    connection.discardFromNowOn();
    connection.pause();
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    // Held back: a part of it is out, and no more goes out while nobody reads.
    const sender = await backend.connection(0);
    await untilStill(() => sender.socket.bytesWritten);
    expect(sender.socket.bytesWritten).toBeLessThan(bytes / 2);
    connection.resume();
    await connection.untilReceivedBytes(bytes);
  });
});

describe("a request body", () => {
  test("streams: its first part arrives before its last is sent", async () => {
    const backend = await startScriptedBackend(() => {});
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfirst");
    const received = await backend.connection(0);
    expect((await received.readHead()).header("content-length")).toBe("9");
    expect((await received.readBytes(5)).toString()).toBe("first");
    await connection.write("last");
    expect((await received.readBytes(4)).toString()).toBe("last");
    await received.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect((await connection.readHead()).status).toBe(200);
  });

  test("is not read faster than the backend takes it", async () => {
    const bytes = 64 * 1024 * 1024;
    const backend = await startScriptedBackend((connection) => {
      connection.discardFromNowOn();
      connection.pause();
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
    const sent = flood(connection, bytes);
    await untilStill(() => connection.socket.bytesWritten);
    expect(connection.socket.bytesWritten).toBeLessThan(bytes / 2);
    const received = await backend.connection(0);
    received.resume();
    await sent;
    await received.untilReceivedBytes(bytes);
  });
});

/** Sends as many bytes, each part once the one before is out. */
async function flood(connection: RawConnection, bytes: number): Promise<void> {
  const part = Buffer.alloc(64 * 1024);
  for (let sent = 0; sent < bytes; sent += part.length) await connection.write(part);
}

/** Resolves once a figure has grown and has been the same at ten looks in a row. */
async function untilStill(read: () => number): Promise<void> {
  let last = 0;
  let same = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    const now = read();
    same = now > 0 && now === last ? same + 1 : 0;
    last = now;
    if (same >= 10) resolve();
  }, 10);
  try {
    await promise;
  } finally {
    clearInterval(timer);
  }
}
