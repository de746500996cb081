// The sockets of this thread's clients that ask for nothing: they have sent no request yet, or none since their
// last answer or refusal. Where so many sockets are open that the process has no files to spare, those that have
// asked for nothing for longest make room for new ones: a crowd of silent clients keeps nobody out.

import type { Socket } from "node:net";
import { countSocket, openSockets } from "./open-sockets.ts";

/** So many always have their time, lest nobody could ask while every file is taken by who is served. */
const KEPT = 32;

interface ClientSocketsOptions {
  /** Sockets of all threads that the process has files for. */
  readonly room: number;
  /** A socket was cut to make room; it has asked for something before, or not. */
  readonly onCut: (socket: Socket, hasAsked: boolean) => void;
}

export class ClientSockets {
  readonly #options: ClientSocketsOptions;
  /** Oldest first. */
  readonly #newcomers = new Set<Socket>();
  readonly #idle = new Set<Socket>();
  /** For all sockets alike, so that none carries a closure of its own through its life. */
  readonly #onClosed: (this: Socket) => void;

  constructor(options: ClientSocketsOptions) {
    this.#options = options;
    const forget = (socket: Socket): boolean => this.#forget(socket);
    this.#onClosed = function (): void {
      forget(this);
    };
  }

  /** Who has sent no request head yet. */
  get newcomers(): number {
    return this.#newcomers.size;
  }

  /** A client's socket was accepted. */
  enter(socket: Socket): void {
    countSocket(socket);
    this.#expect(socket);
    if (openSockets() > this.#options.room) this.#makeRoom();
  }

  /** The client is read through another socket from here on, which stands for the same file. */
  replace(accepted: Socket, socket: Socket): void {
    this.onRequest(accepted);
    this.#expect(socket);
  }

  /** It asks for something. */
  onRequest(socket: Socket): void {
    if (this.#forget(socket)) socket.off("close", this.#onClosed);
  }

  /** It has had every answer that it asked for. */
  onAnswered(socket: Socket): void {
    if (socket.destroyed) return;
    this.#idle.add(socket);
    socket.on("close", this.#onClosed);
  }

  /** Cuts those that ask for nothing, and shall not any more. */
  cut(isUnwanted: (socket: Socket) => boolean): void {
    for (const sockets of [this.#newcomers, this.#idle]) {
      for (const socket of sockets) if (isUnwanted(socket)) socket.destroy();
    }
  }

  #expect(socket: Socket): void {
    this.#newcomers.add(socket);
    socket.on("close", this.#onClosed);
  }

  #forget(socket: Socket): boolean {
    return this.#newcomers.delete(socket) || this.#idle.delete(socket);
  }

  #makeRoom(): void {
    if (this.#newcomers.size + this.#idle.size <= KEPT) return;
    const hasAsked = this.#idle.size > 0;
    const [oldest] = hasAsked ? this.#idle : this.#newcomers;
    if (oldest === undefined) return;
    this.onRequest(oldest);
    this.#options.onCut(oldest, hasAsked);
    oldest.destroy();
  }
}
