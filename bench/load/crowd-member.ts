// One client of a crowd, on a bare socket: it says nothing of its own accord, answers Pings, and answers the
// Close that ends it. It reads small control frames only, as nobody sends it anything else.

import { connect, type Socket } from "node:net";
import { readAnswer, upgradeRequest } from "./client-connection.ts";
import { maskedControlFrame } from "./frames.ts";

const READ_BYTES = 4096;
/** All sockets read into the one buffer: each read is dealt with before the next begins. */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);
const NOTHING = Buffer.alloc(0);

const CLOSE = 0x88;
const PING = 0x89;
const PONG = 0x8a;
const HEADER_BYTES = 2;
const ABNORMAL = 1006;
const NO_STATUS = 1005;

export interface MemberEvents {
  onOpen(member: CrowdMember): void;
  onPing(): void;
  /** Called once. The code of the Close that it got, 1006 without one; `failure` where it had no 101. */
  onGone(member: CrowdMember, code: number, failure: string | null): void;
}

export class CrowdMember {
  readonly #events: MemberEvents;
  readonly #socket: Socket;
  #state: "opening" | "open" | "gone" = "opening";
  #held: Buffer = NOTHING;
  #code = ABNORMAL;

  constructor(port: number, events: MemberEvents) {
    this.#events = events;
    this.#socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback: (length) => {
          this.#onRead(READ_BUFFER.subarray(0, length));
          return true;
        },
      },
    });
    this.#socket.on("error", (error) => this.#gone(error.message));
    this.#socket.on("close", () => this.#gone("closed without an answer"));
    this.#socket.write(upgradeRequest(port));
  }

  /** Says goodbye first. */
  leave(): void {
    this.#socket.write(maskedControlFrame(CLOSE, Buffer.from([1000 >> 8, 1000 & 0xff])));
  }

  #onRead(chunk: Buffer): void {
    let bytes: Buffer = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = NOTHING;
    if (this.#state === "opening") {
      const headBytes = this.#readHead(bytes);
      if (headBytes === 0) return;
      bytes = bytes.subarray(headBytes);
    }
    while (bytes.length >= HEADER_BYTES) {
      const frameBytes = HEADER_BYTES + (bytes[1] ?? 0);
      if (bytes.length < frameBytes) break;
      this.#onFrame(bytes[0] ?? 0, bytes.subarray(HEADER_BYTES, frameBytes));
      bytes = bytes.subarray(frameBytes);
    }
    // The buffer is everybody's.
    if (bytes.length > 0) this.#held = Buffer.from(bytes);
  }

  /** 0 while it is not whole. */
  #readHead(bytes: Buffer): number {
    let headBytes = 0;
    try {
      headBytes = readAnswer(bytes);
    } catch (error) {
      this.#gone(error instanceof Error ? error.message : String(error));
      return 0;
    }
    if (headBytes === 0) {
      this.#held = Buffer.from(bytes);
      return 0;
    }
    this.#state = "open";
    this.#events.onOpen(this);
    return headBytes;
  }

  #onFrame(firstByte: number, payload: Buffer): void {
    if (firstByte === PING) {
      this.#events.onPing();
      this.#socket.write(maskedControlFrame(PONG, payload));
    } else if (firstByte === CLOSE) {
      this.#code = payload.length < 2 ? NO_STATUS : payload.readUInt16BE(0);
      this.#socket.end(maskedControlFrame(CLOSE, payload.subarray(0, 2)));
    }
  }

  #gone(failure: string): void {
    if (this.#state === "gone") return;
    const hasOpened = this.#state === "open";
    this.#state = "gone";
    this.#socket.destroy();
    this.#events.onGone(this, this.#code, hasOpened ? null : failure);
  }
}
