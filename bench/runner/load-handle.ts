// The runner's end of the load: starts the backend and the generator, and sends commands.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { LoadAnswer, LoadCommand, LoadReport, LoadRequest } from "../load/commands.ts";

/** The longest is 1 GiB to a slow reader, or 25 000 connections that come and go. */
const COMMAND_DEADLINE_MS = 180_000;

interface Pending {
  readonly resolve: (report: LoadReport) => void;
  readonly reject: (error: Error) => void;
}

export class LoadHandle {
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(port: number) {
    this.#child = fork(new URL("../load/generator.ts", import.meta.url), [`${port}`]);
    this.#child.on("message", (answer: LoadAnswer) => this.#onAnswer(answer));
    this.#child.on("exit", () => {
      for (const { reject } of this.#pending.values()) reject(new Error("the load generator ended"));
    });
  }

  async command(command: LoadCommand): Promise<LoadReport> {
    const { promise, resolve, reject } = Promise.withResolvers<LoadReport>();
    const id = ++this.#lastId;
    const deadline = setTimeout(
      () => reject(new Error(`${command.kind} not done within ${COMMAND_DEADLINE_MS} ms`)),
      COMMAND_DEADLINE_MS,
    );
    this.#pending.set(id, { resolve, reject });
    const request: LoadRequest = { id, command };
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

  #onAnswer({ id, report, error }: LoadAnswer): void {
    const pending = this.#pending.get(id);
    if (report !== undefined) pending?.resolve(report);
    else pending?.reject(new Error(error ?? "the load generator answered nothing"));
  }
}

export interface Backend {
  readonly port: number;
  kill(): void;
}

export async function startBackend(): Promise<Backend> {
  const child = fork(new URL("../load/backend.ts", import.meta.url));
  const [port]: unknown[] = await once(child, "message");
  if (typeof port !== "number") throw new Error("the backend told no port");
  return { port, kill: () => child.kill("SIGKILL") };
}
