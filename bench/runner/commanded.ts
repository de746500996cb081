// The runner's end of a process of the load: sends it commands and hands back their answers.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import type { Answer, Request } from "../load/commands.ts";

/** The longest of the usual is 1 GiB to a slow reader, or 25 000 connections that come and go. */
const DEADLINE_MS = 180_000;

interface Pending<Report> {
  readonly resolve: (report: Report) => void;
  readonly reject: (error: Error) => void;
}

export class Commanded<Command, Report> {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending<Report>>();
  #lastId = 0;

  constructor(file: URL, args: readonly string[] = []) {
    this.#child = fork(file, args);
    this.#child.on("message", (message: Answer<Report> | number) => {
      if (typeof message !== "number") this.#onAnswer(message);
    });
    this.#child.on("exit", () => {
      for (const { reject } of this.#pending.values()) reject(new Error(`${basename(file.pathname)} ended`));
    });
  }

  /** Of one that is a backend: its port, which it tells before anything else. To be asked for at once. */
  async port(): Promise<number> {
    const [port]: unknown[] = await once(this.#child, "message");
    if (typeof port !== "number") throw new Error("the backend told no port");
    return port;
  }

  async command(command: Command, deadlineMs = DEADLINE_MS): Promise<Report> {
    const { promise, resolve, reject } = Promise.withResolvers<Report>();
    const id = ++this.#lastId;
    const deadline = setTimeout(() => reject(new Error(`not done within ${deadlineMs} ms`)), deadlineMs);
    this.#pending.set(id, { resolve, reject });
    const request: Request<Command> = { id, command };
    this.#child.send(request);
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      this.#pending.delete(id);
    }
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #onAnswer({ id, report, error }: Answer<Report>): void {
    const pending = this.#pending.get(id);
    if (report !== undefined) pending?.resolve(report);
    else pending?.reject(new Error(error ?? "no answer but an empty one"));
  }
}
