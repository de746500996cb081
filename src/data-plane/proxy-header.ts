// Reads the PROXY header that a socket begins with, and puts back what comes behind it.

import type { Socket } from "node:net";
import { parseProxyHeader, type ProxiedEnds, ProxyHeaderError } from "../proxy-protocol.ts";

interface ProxyHeaderEvents {
  /** It is whole, and the socket paused. */
  read(ends: ProxiedEnds | null): void;
  /** The socket is destroyed. */
  failed(reason: string): void;
}

/** One event comes, unless the socket is closed before. Somebody must listen to the socket's errors. */
export function readProxyHeader(socket: Socket, timeoutMs: number, events: ProxyHeaderEvents): void {
  let received: Buffer | null = null;
  const timer = setTimeout(() => fail("it was not whole in time"), timeoutMs);

  function onData(chunk: Buffer): void {
    received = received === null ? chunk : Buffer.concat([received, chunk]);
    try {
      const header = parseProxyHeader(received);
      if (header === null) return;
      stop();
      socket.pause();
      if (header.length < received.length) socket.unshift(received.subarray(header.length));
      events.read(header.ends);
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error;
      fail(error.message);
    }
  }

  function onEnd(): void {
    fail("the connection ended before it");
  }

  function fail(reason: string): void {
    stop();
    socket.destroy();
    events.failed(reason);
  }

  function stop(): void {
    clearTimeout(timer);
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("close", stop);
  }

  socket.on("data", onData);
  socket.on("end", onEnd);
  socket.on("close", stop);
}
