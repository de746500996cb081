// One connection of the echo backend: the upgrade, then every message back as it came.
// Right for any masking key, fragmentation and chunking, and it never holds a message: payload is
// unmasked in the chunk it came in, and that chunk is written back.

import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { closeFrame } from "./frames.ts";
import { Unmasker } from "./unmask.ts";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const LARGEST_HEAD_BYTES = 64 * 1024;
const HEAD_END = "\r\n\r\n";
const NOT_AN_UPGRADE = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;
const MASK_BIT = 0x80;
const LENGTH_BITS = 0x7f;
const SHORTEST_HEADER_BYTES = 6;

const NOTHING = Buffer.alloc(0);

export class EchoConnection {
  readonly #socket: Socket;
  #isUpgraded = false;
  #hasSentClose = false;
  /** The head so far, or the first bytes of a frame whose header is not whole yet. */
  #held: Buffer = NOTHING;
  /** First byte of the frame in progress. */
  #firstByte = 0;
  /** Of the frame in progress, in bytes. */
  #payloadRemaining = 0;
  #isInFrame = false;
  readonly #unmasker = new Unmasker();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("drain", () => socket.resume());
    socket.on("error", () => socket.destroy());
  }

  #onData(chunk: Buffer): void {
    if (this.#socket.writableEnded) return;
    const input = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = NOTHING;
    if (this.#isUpgraded) this.#echo(input);
    else this.#readHead(input);
  }

  #readHead(input: Buffer): void {
    const end = input.indexOf(HEAD_END);
    if (end === -1) {
      this.#held = input;
      if (input.length > LARGEST_HEAD_BYTES) this.#socket.destroy();
      return;
    }
    const head = input.toString("latin1", 0, end);
    const key = /^sec-websocket-key:[ \t]*(\S+)/im.exec(head)?.[1];
    if (key === undefined) {
      this.#socket.end(NOT_AN_UPGRADE);
      return;
    }
    this.#isUpgraded = true;
    this.#write(switchingProtocols(key));
    const closeCode = /^GET \/close\/(\d{4}) /.exec(head)?.[1];
    if (closeCode !== undefined) this.#sendClose(closeFrame(Number(closeCode)));
    this.#echo(input.subarray(end + HEAD_END.length));
  }

  #echo(input: Buffer): void {
    // Output is never longer than input, so it goes over it, from the front.
    let read = 0;
    let written = 0;
    this.#unmasker.enter(input);
    while (read < input.length) {
      if (!this.#isInFrame) {
        const headerBytes = headerLength(input, read);
        if (headerBytes > input.length - read) {
          this.#held = Buffer.from(input.subarray(read));
          break;
        }
        if (!this.#readHeader(input, read, headerBytes)) return;
        written = this.#putHeader({ input, read, headerBytes, written });
        read += headerBytes;
      }
      const bytes = Math.min(this.#payloadRemaining, input.length - read);
      this.#unmasker.unmask(read, written, bytes);
      read += bytes;
      if (this.#isEchoed) written += bytes;
      this.#payloadRemaining -= bytes;
      if (this.#payloadRemaining > 0) continue;
      this.#isInFrame = false;
      if (this.#firstByte === CLOSE) {
        this.#sendClose(input.subarray(0, written));
        this.#socket.end();
        return;
      }
    }
    if (written > 0) this.#write(input.subarray(0, written));
  }

  /** False when the frame is not masked, which ends the connection. */
  #readHeader(input: Buffer, at: number, headerBytes: number): boolean {
    const second = input[at + 1] ?? 0;
    if ((second & MASK_BIT) === 0) {
      this.#socket.destroy();
      return false;
    }
    const shortLength = second & LENGTH_BITS;
    this.#firstByte = input[at] ?? 0;
    this.#payloadRemaining = shortLength;
    if (shortLength === 126) this.#payloadRemaining = input.readUInt16BE(at + 2);
    if (shortLength === 127) this.#payloadRemaining = Number(input.readBigUInt64BE(at + 2));
    this.#unmasker.key = input.readInt32LE(at + headerBytes - 4);
    this.#isInFrame = true;
    return true;
  }

  /** Writes the header without its masking key, and returns where the payload goes. */
  #putHeader(place: { input: Buffer; read: number; headerBytes: number; written: number }): number {
    const { input, read, headerBytes, written } = place;
    if (!this.#isEchoed) return written;
    const second = (input[read + 1] ?? 0) & LENGTH_BITS;
    input[written] = this.#firstByte === PING ? PONG : this.#firstByte;
    input[written + 1] = second;
    if (headerBytes > SHORTEST_HEADER_BYTES) {
      input.copyWithin(written + 2, read + 2, read + headerBytes - 4);
    }
    return written + headerBytes - 4;
  }

  get #isEchoed(): boolean {
    return this.#firstByte !== PONG;
  }

  #sendClose(frames: Buffer): void {
    if (!this.#hasSentClose) this.#write(frames);
    this.#hasSentClose = true;
  }

  #write(output: Buffer | string): void {
    if (!this.#socket.write(output)) this.#socket.pause();
  }
}

export function switchingProtocols(key: string): string {
  const accept = createHash("sha1")
    .update(key + ACCEPT_GUID)
    .digest("base64");
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    HEAD_END.slice(2),
  ].join("\r\n");
}

/** In bytes, masking key included; more than there are while the first two are not there yet. */
function headerLength(input: Buffer, at: number): number {
  if (input.length - at < 2) return SHORTEST_HEADER_BYTES;
  const length = (input[at + 1] ?? 0) & LENGTH_BITS;
  if (length < 126) return SHORTEST_HEADER_BYTES;
  return SHORTEST_HEADER_BYTES + (length === 126 ? 2 : 8);
}
