// Makes sure that nothing outlives the runner, however it ends: Ctrl-C, an exception, a kill. A child
// process holds the leash; when the channel to it breaks, it ends what is on it and deletes the
// temporary directory.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type LeashOrder = { readonly hold: number } | { readonly release: number };

export class Leash {
  /** Everything temporary goes in here. */
  readonly directory = mkdtempSync(join(tmpdir(), "weir-bench-"));
  readonly #holder: ChildProcess;

  constructor() {
    this.#holder = fork(new URL("./leash-holder.ts", import.meta.url), [this.directory], { detached: true });
    this.#holder.unref();
    this.#holder.channel?.unref();
  }

  /** `pid` must lead a process group; all of it is killed. */
  hold(pid: number): void {
    this.#send({ hold: pid });
  }

  release(pid: number): void {
    this.#send({ release: pid });
  }

  #send(order: LeashOrder): void {
    this.#holder.send(order);
  }
}
