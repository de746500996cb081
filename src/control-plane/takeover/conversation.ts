// What two processes say to each other at a takeover, line by line over the socket beside `pidFile`:
//
//   new: {"weir":"takeover","version":1,"pid":2}   old: {"pid":1,"listeners":[…],"admin":…} or {"refused":"…"}
//   new: begin                                     old: yielded (its admin address), then the lines of its state
//   new: done                                      the old one drains
//
// A new process that goes before its `done` has changed nothing. So has one that is too late with a line: the old
// one ends the conversation and goes on, and is there to be found.

import type { Socket } from "node:net";
import { createInterface, type Interface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";

export const PROTOCOL_VERSION = 1;

/** Longest path of a Unix socket that every system can connect to. */
export const MAX_SOCKET_PATH_BYTES = 103;

export const helloSchema = z.object({
  weir: z.literal("takeover"),
  version: z.literal(PROTOCOL_VERSION),
  pid: z.int(),
});

const factsSchema = z.object({
  pid: z.int(),
  /** What it serves: ports, and paths of Unix sockets. */
  listeners: z.array(z.union([z.int(), z.string()])),
  /** The same of its admin server; null where it has none. */
  admin: z.union([z.int(), z.string(), z.null()]),
});

export const answerSchema = z.union([factsSchema, z.object({ refused: z.string() })]);

/** What a running Weir tells of itself. */
export type Facts = z.infer<typeof factsSchema>;

export function socketPathOf(pidFile: string): string {
  return `${pidFile}.sock`;
}

export class Conversation {
  readonly #socket: Socket;
  readonly #interface: Interface;
  readonly #lines: AsyncIterator<string>;
  /** The line that was asked for and has not come yet. */
  #pending: Promise<IteratorResult<string>> | null = null;
  #isOver = false;
  #endedAtMs: number | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#interface = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
    this.#lines = this.#interface[Symbol.asyncIterator]();
    // How the other process went does not matter, only that it did: there are no more lines.
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#endedAtMs = performance.now();
      this.#interface.close();
    });
  }

  /** Every line that came was heard, and the other process is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** When (of `performance.now()`) the other process was found to be gone; null while it is not. */
  get endedAtMs(): number | null {
    return this.#endedAtMs;
  }

  say(line: string): void {
    if (!this.#socket.destroyed) this.#socket.write(`${line}\n`);
  }

  /** Whether the other process had not ended the conversation before: the line waits for it, if it still hangs. */
  async sayLast(line: string): Promise<boolean> {
    return await new Promise((resolve) => {
      this.#socket.write(`${line}\n`, (error) => resolve(!(error instanceof Error)));
      this.#socket.end();
    });
  }

  /** Rejects where the other process goes. */
  async sayAll(lines: Iterable<string>): Promise<void> {
    await pipeline(Readable.from(lines), this.#socket, { end: false });
  }

  /** Null where the other process is gone, or has said nothing until then (of `performance.now()`). */
  async hear(untilMs = Number.POSITIVE_INFINITY): Promise<string | null> {
    // One that has gone and left something unread is an error of the socket, which the lines end with.
    this.#pending ??= this.#lines.next().catch(() => ({ done: true, value: undefined }));
    const heard = this.#pending;
    const { promise: timeIsUp, resolve } = Promise.withResolvers<null>();
    // Where this process was held up, timers come first, and what was said in time is still to be read.
    const onTimeIsUp = (): void => void setImmediate(() => resolve(null));
    const timer = Number.isFinite(untilMs)
      ? setTimeout(onTimeIsUp, Math.max(0, untilMs - performance.now()))
      : null;
    const result = await Promise.race([heard, timeIsUp]);
    if (timer !== null) clearTimeout(timer);
    if (result === null) return null;
    this.#pending = null;
    this.#isOver = result.done === true;
    return result.done === true ? null : result.value;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Undefined where the line is no JSON. */
export function parseLine(line: string | null): unknown {
  try {
    return line === null ? undefined : JSON.parse(line);
  } catch {
    return undefined;
  }
}
