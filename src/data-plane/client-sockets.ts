// The sockets of this thread's clients that ask for nothing: they have sent no request yet, none since their last
// answer, or are refused and stay. Where so many sockets are open that the process has no files to spare, they make
// room for new ones: first who was refused, then who has asked for nothing for longest. A crowd of silent clients
// keeps nobody out.

import type { Socket } from "node:net";
import { countSocket, discountSocket, openSockets } from "./open-sockets.ts";

interface ClientSocketsOptions {
  /** Sockets of all threads that the process has files for. */
  readonly room: number;
  /** So many always have their time, lest nobody could ask while every file is taken by who is served. */
  readonly kept: number;
  /** A socket was cut to make room; it has asked for something before, or not. */
  readonly onCut: (hasAsked: boolean) => void;
}

export class ClientSockets {
  readonly #options: ClientSocketsOptions;
  /** Whether it has asked for something before; who has waited longest first. */
  readonly #waiting = new Map<Socket, boolean>();
  readonly #refused = new Set<Socket>();
  #newcomers = 0;
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
    return this.#newcomers;
  }

  /** A client's socket was accepted. */
  enter(socket: Socket): void {
    countSocket(socket);
    this.#wait(socket, false);
    this.#makeRoom();
  }

  /** The client is read through another socket from here on, which stands for the same file. */
  replace(accepted: Socket, socket: Socket): void {
    this.onRequest(accepted);
    discountSocket(accepted);
    countSocket(socket);
    this.#wait(socket, false);
  }

  /** It asks for something. */
  onRequest(socket: Socket): void {
    if (this.#forget(socket)) socket.off("close", this.#onClosed);
  }

  /** It has had every answer that it asked for, and may ask again. */
  onAnswered(socket: Socket): void {
    if (socket.destroyed) return;
    this.onRequest(socket);
    this.#wait(socket, true);
  }

  /** Its answer is the last; however long it may stay yet, it asks for nothing any more. */
  onRefused(socket: Socket): void {
    if (socket.destroyed) return;
    this.onRequest(socket);
    this.#refused.add(socket);
    socket.on("close", this.#onClosed);
  }

  /** Cuts those that ask for nothing, and shall not any more; returns how many. */
  cut(isUnwanted: (socket: Socket) => boolean): number {
    const unwanted = [...this.#refused, ...this.#waiting.keys()].filter(isUnwanted);
    for (const socket of unwanted) socket.destroy();
    return unwanted.length;
  }

  #wait(socket: Socket, hasAsked: boolean): void {
    this.#waiting.set(socket, hasAsked);
    if (!hasAsked) this.#newcomers += 1;
    socket.on("close", this.#onClosed);
  }

  #forget(socket: Socket): boolean {
    const hasAsked = this.#waiting.get(socket);
    if (hasAsked === undefined) return this.#refused.delete(socket);
    this.#waiting.delete(socket);
    if (!hasAsked) this.#newcomers -= 1;
    return true;
  }

  /** Who is served may have taken more than one file since the last time. */
  #makeRoom(): void {
    const { room, kept } = this.#options;
    while (openSockets() > room && this.#refused.size + this.#waiting.size > kept) this.#cutOldest();
  }

  #cutOldest(): void {
    const [refused] = this.#refused;
    const [oldest] = this.#waiting;
    const socket = refused ?? oldest?.[0];
    if (socket === undefined) return;
    const hasAsked = refused !== undefined || oldest?.[1] === true;
    this.onRequest(socket);
    socket.destroy();
    // Its file is free now, and not when it tells of its end.
    discountSocket(socket);
    this.#options.onCut(hasAsked);
  }
}
