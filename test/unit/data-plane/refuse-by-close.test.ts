// Refusals by close: what such a client is sent, and that nothing of what it sends stays in memory.
import type { IncomingMessage } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { refuseByClose } from "../../../src/data-plane/refuse-by-close.ts";
import { type ErrorCode, Refusal } from "../../../src/errors.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import { closePayload, decodeFrame, encodeFrame, opcodes, parseClose } from "../../support/frames.ts";
import { acceptFor } from "../../support/raw-client.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const maskingKey = Buffer.from("37fa213d", "hex");
const closeFrame = encodeFrame({ opcode: opcodes.close, payload: closePayload(1008), maskingKey });
const CLOSE_TIMEOUT_MS = 2_000;

interface Refused {
  readonly head?: Buffer;
  readonly code?: ErrorCode;
  readonly protocols?: string;
  readonly hasTokenProtocols?: boolean;
}

function refuse({ head, code = "no_route", protocols, hasTokenProtocols = false }: Refused = {}): FakeSocket {
  const socket = new FakeSocket();
  const rawHeaders = [
    "Host",
    "a",
    "Sec-WebSocket-Key",
    key,
    "Sec-WebSocket-Extensions",
    "permessage-deflate",
  ];
  if (protocols !== undefined) rawHeaders.push("Sec-WebSocket-Protocol", protocols);
  refuseByClose({
    request: { rawHeaders } as IncomingMessage,
    socket: socket.asSocket,
    head: head ?? Buffer.alloc(0),
    refusal: new Refusal(code),
    closeTimeoutMs: CLOSE_TIMEOUT_MS,
    hasTokenProtocols,
  });
  return socket;
}

/** A binary frame's header; its payload is still to come. */
function announce(payloadBytes: number): Buffer {
  const header = Buffer.alloc(14);
  header[0] = 0x80 | opcodes.binary;
  header[1] = 0x80 | 127;
  header.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return header;
}

function written(socket: FakeSocket): { head: string; frames: Buffer } {
  const all = Buffer.concat(socket.written);
  const end = all.indexOf("\r\n\r\n") + 4;
  return { head: all.toString("latin1", 0, end), frames: all.subarray(end) };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

describe("a refused client", () => {
  test("is sent a 101 without extensions and one Close, and nothing else", async () => {
    const socket = refuse({ code: "backends_full" });
    socket.push(encodeFrame({ opcode: opcodes.ping, payload: "pong, please", maskingKey }));
    await turn();
    const { head, frames } = written(socket);
    expect(head).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
    );
    const frame = decodeFrame(frames);
    expect(frame?.length).toBe(frames.length);
    expect(frame && parseClose(frame.frame)).toEqual({ code: 1013, reason: "backends_full" });
  });

  test.for([
    ["chat.v2, chat.v1", false, "chat.v2"],
    ["bearer, abc.def, chat", false, "bearer"],
    ["bearer, abc.def, chat", true, "chat"],
    ["bearer, abc.def", true, "bearer"],
  ] as const)(
    "that offers %s (tokens among them: %s) gets %s",
    ([protocols, hasTokenProtocols, selected]) => {
      const { head } = written(refuse({ protocols, hasTokenProtocols }));
      expect(head.split("\r\n")).toContain(`Sec-WebSocket-Protocol: ${selected}`);
    },
  );

  test.for(["one frame", "a fragmented message", "bytes that are no frames"])(
    "that goes on with 16 MiB of %s leaves none of it in memory",
    async (kind) => {
      const chunkBytes = 64 * 1024;
      const fragment = encodeFrame({
        opcode: opcodes.continuation,
        fin: false,
        payload: Buffer.alloc(chunkBytes),
        maskingKey,
      });
      const first = {
        "one frame": announce(95 * 1024 * 1024),
        "a fragmented message": encodeFrame({ opcode: opcodes.text, fin: false, payload: "a", maskingKey }),
        "bytes that are no frames": Buffer.alloc(16, 0xff),
      }[kind];
      const socket = refuse({ head: first! });
      const memory: WeakRef<ArrayBufferLike>[] = [];
      for (let i = 0; i < 256; i++) {
        const chunk = kind === "a fragmented message" ? Buffer.from(fragment) : Buffer.alloc(chunkBytes);
        memory.push(new WeakRef(chunk.buffer));
        socket.push(chunk);
        await turn();
      }
      await turn();
      collectGarbage();
      await turn();
      expect(socket.readableLength).toBe(0);
      // The last one may still lie in a register or on the stack.
      expect(memory.filter((bytes) => bytes.deref() !== undefined).length).toBeLessThanOrEqual(1);
    },
  );

  test("whose Close comes in pieces, behind what it sent before ours, gets our FIN then", async () => {
    const text = encodeFrame({ opcode: opcodes.text, payload: "too early", maskingKey });
    const bytes = Buffer.concat([text, text, closeFrame]);
    const socket = refuse({ head: bytes.subarray(0, 3) });
    for (const byte of bytes.subarray(3, -1)) socket.push(Buffer.of(byte));
    await turn();
    expect(socket.writableEnded).toBe(false);
    socket.push(bytes.subarray(-1));
    await turn();
    expect(socket.writableFinished).toBe(true);
    expect(socket.destroyed).toBe(false);
    socket.push(Buffer.from("what else there is"));
    socket.push(null);
    await turn();
    expect(socket.destroyed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  test.for([
    ["an unmasked frame", Buffer.from("8101", "hex")],
    ["a reserved opcode", Buffer.from("8380", "hex")],
    ["a reserved bit", Buffer.from("c180", "hex")],
    ["a continuation of nothing", Buffer.from("8080", "hex")],
    ["a control frame of 126 bytes", Buffer.from("89fe", "hex")],
  ] as const)("that sends %s is still read until it leaves", async ([, bytes]) => {
    const socket = refuse();
    socket.push(bytes);
    await turn();
    expect(socket.writableFinished).toBe(true);
    socket.push(Buffer.alloc(1024));
    await turn();
    expect(socket.readableLength).toBe(0);
    expect(socket.destroyed).toBe(false);
    socket.push(null);
    await turn();
    expect(socket.destroyed).toBe(true);
  });

  test.for(["silent", "sending", "closing"])("that is %s at the deadline is cut", async (kind) => {
    const socket = refuse();
    if (kind === "closing") socket.push(closeFrame);
    await vi.advanceTimersByTimeAsync(CLOSE_TIMEOUT_MS - 1);
    if (kind === "sending") socket.push(announce(1_000_000));
    await turn();
    expect(socket.destroyed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(socket.destroyed).toBe(true);
  });

  test("that leaves without a Close is left", async () => {
    const socket = refuse();
    socket.push(null);
    await turn();
    expect(socket.destroyed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});
