// A client between its upgrade request and our answer: keeps what it sends too early, and notices
// when it leaves, so that a dial for nobody is given up.

import type { Socket } from "node:net";
import { Refusal } from "../errors.ts";

/** A client that sends more than this before its 101 is not read further until then. */
const MAX_EARLY_BYTES = 64 * 1024;

export class PendingClient {
  readonly socket: Socket;
  readonly #early: Buffer[] = [];
  #earlyBytes = 0;
  #hasLeft = false;
  #onLeave: (() => void) | null = null;

  constructor(socket: Socket, head: Buffer) {
    this.socket = socket;
    this.#keep(head);
    socket.on("data", this.#keep);
    socket.on("end", this.#leave);
    socket.on("close", this.#leave);
    if (socket.destroyed) this.#hasLeft = true;
  }

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** Throws Refusal `client_gone` once the client has left. */
  assertPresent(): void {
    if (this.#hasLeft) throw new Refusal("client_gone");
  }

  /** Calls back when the client leaves, at once if it has; null takes that back. */
  onLeave(callback: (() => void) | null): void {
    this.#onLeave = callback;
    if (this.#hasLeft) callback?.();
  }

  /** Ends the watch and hands over the bytes that came early. */
  release(): Buffer {
    this.socket.off("data", this.#keep);
    this.socket.off("end", this.#leave);
    this.socket.off("close", this.#leave);
    this.#onLeave = null;
    if (this.#early.length === 0) return Buffer.alloc(0);
    return this.#early.length === 1 && this.#early[0] !== undefined
      ? this.#early[0]
      : Buffer.concat(this.#early);
  }

  readonly #keep = (chunk: Buffer): void => {
    if (chunk.length === 0) return;
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.socket.pause();
  };

  readonly #leave = (): void => {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#onLeave?.();
  };
}
