// One message of any size there and back, streamed: neither end of the bench ever holds it.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { readAnswer, upgradeRequest } from "./client-connection.ts";
import type { SlowReader } from "./commands.ts";
import { echoHeader, filler, maskedFiller, maskedHeader } from "./frames.ts";

/** A multiple of four, so that every piece is masked alike. */
const PIECE_BYTES = 64 * 1024;
const CLOSE = 0x88;

/** Resolves when the whole echo came back, and rejects when anything else does. */
export async function sendHuge(port: number, bytes: number, slowReader?: SlowReader): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const gone = once(socket, "close");
  let failure = "closed before its echo was whole";
  socket.on("error", (error) => (failure = error.message));
  try {
    socket.write(upgradeRequest(port));
    // Whole in one read: the backend says nothing more before it is spoken to.
    const [answer] = (await Promise.race([once(socket, "data"), gone])) as unknown[];
    if (!Buffer.isBuffer(answer) || readAnswer(answer) === 0) throw new Error(failure);
    const echoed = readEcho(socket, bytes, slowReader);
    writeMessage(socket, bytes);
    await Promise.race([
      echoed,
      gone.then(() => {
        throw new Error(failure);
      }),
    ]);
  } finally {
    socket.destroy();
  }
}

function writeMessage(socket: Socket, bytes: number): void {
  const piece = maskedFiller(PIECE_BYTES);
  let remaining = bytes;
  const pump = (): void => {
    while (remaining > 0) {
      const length = Math.min(remaining, PIECE_BYTES);
      remaining -= length;
      if (!socket.write(length === PIECE_BYTES ? piece : piece.subarray(0, length))) return;
    }
  };
  socket.on("drain", pump);
  socket.write(maskedHeader(bytes));
  pump();
}

function readEcho(socket: Socket, bytes: number, slowReader?: SlowReader): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const header = echoHeader(bytes);
  const expected = filler(PIECE_BYTES);
  const total = header.length + bytes;
  let received = 0;
  let burst = 0;
  socket.on("data", (chunk: Buffer) => {
    if (!isEcho(chunk, received, header, expected)) reject(new Error(whatInstead(chunk)));
    received += chunk.length;
    burst += chunk.length;
    if (received >= total) resolve();
    if (slowReader === undefined || burst < slowReader.burstBytes) return;
    burst = 0;
    socket.pause();
    setTimeout(() => socket.resume(), slowReader.pauseMs);
  });
  if (slowReader !== undefined) {
    socket.pause();
    setTimeout(() => socket.resume(), slowReader.firstPauseMs);
  }
  return promise;
}

function whatInstead(chunk: Buffer): string {
  const isClose = chunk[0] === CLOSE && chunk.length >= 4;
  return isClose ? `closed with ${chunk.readUInt16BE(2)}` : "the echo differs from what was sent";
}

function isEcho(chunk: Buffer, offset: number, header: Buffer, expected: Buffer): boolean {
  let at = 0;
  for (; offset + at < header.length && at < chunk.length; at++) {
    if (chunk[at] !== header[offset + at]) return false;
  }
  while (at < chunk.length) {
    const length = Math.min(expected.length, chunk.length - at);
    if (chunk.compare(expected, 0, length, at, at + length) !== 0) return false;
    at += length;
  }
  return true;
}
