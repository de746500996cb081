// A client that ends in whatever way it is told to. A bare socket, as most of the ways are none that a library
// would let one take.

import { Socket } from "node:net";
import { upgradeRequest } from "./client-connection.ts";
import { maskedCloseFrame } from "./frames.ts";

export const HEAD_END = "\r\n\r\n";
/** The first byte of a Close. */
export const CLOSE = 0x88;
export const NORMAL = 1000;
/** Until somebody who does not wait for the other side hangs up. */
export const IMPATIENCE_MS = 5;
/** One that does not end by then never will. */
const DEADLINE_MS = 30_000;

/** Its connection ended before it was open. */
export class NotLetIn extends Error {}

/** One connection, as a user of its own. */
export class EndsClient {
  answersClose = true;
  readonly user: string;
  readonly #port: number;
  readonly #socket = new Socket();
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  #deadline: NodeJS.Timeout | null = null;
  #received: Buffer = Buffer.alloc(0);
  #isOpen = false;

  constructor(port: number, user: string) {
    this.#port = port;
    this.user = user;
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on("close", () => this.#onClose());
    this.#opened.promise.catch(() => {});
    this.#closed.promise.catch(() => {});
  }

  /** Resolves when its socket is closed; rejects where that is not soon. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  ask(path: string): void {
    this.write(upgradeRequest(this.#port, { path, user: this.user }));
  }

  /** Rejects with NotLetIn where it gets no 101. */
  async open(path: string): Promise<void> {
    this.ask(path);
    await this.#opened.promise;
  }

  /** Connects first. */
  write(bytes: Buffer | string): void {
    if (this.#socket.pending && !this.#socket.connecting) this.#connect();
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, IMPATIENCE_MS));
  }

  #connect(): void {
    this.#socket.setNoDelay(true).connect(this.#port, "127.0.0.1");
    this.#deadline = setTimeout(() => {
      this.#closed.reject(new Error(`${this.user}: did not end`));
      this.#socket.destroy();
    }, DEADLINE_MS);
  }

  #onClose(): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline);
    this.#opened.reject(new NotLetIn("was not let in"));
    this.#closed.resolve();
  }

  #onData(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!this.#isOpen) {
      const end = this.#received.indexOf(HEAD_END);
      if (end === -1 || !this.#received.toString("latin1", 0, 12).endsWith(" 101")) return;
      this.#received = this.#received.subarray(end + HEAD_END.length);
      this.#isOpen = true;
      this.#opened.resolve();
    }
    this.#received = stepOver(this.#received, 0, (firstByte) => {
      const isGoodbye = firstByte === CLOSE && this.answersClose && this.#socket.writable;
      if (isGoodbye) this.#socket.end(maskedCloseFrame(NORMAL));
    });
  }
}

/** Tells of each whole frame by its first byte, and returns the rest. All frames here are short. */
export function stepOver(bytes: Buffer, maskBytes: number, onFrame: (firstByte: number) => void): Buffer {
  let rest = bytes;
  while (rest.length >= 2) {
    const frameBytes = 2 + maskBytes + ((rest[1] ?? 0) & 0x7f);
    if (rest.length < frameBytes) break;
    onFrame(rest[0] ?? 0);
    rest = rest.subarray(frameBytes);
  }
  return rest;
}
