// An echo backend that is a process of its own, for what only the death of a process does: nothing is
// said, nothing is flushed, and the kernel closes the sockets.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { onCleanup } from "./cleanup.ts";
import { ownHost } from "./own-host.ts";
import { within } from "./until.ts";

const echoFile = fileURLToPath(new URL("./echo-process.ts", import.meta.url));

export class BackendProcess {
  /** It says so in the header `X-Backend-Id` of its 101. */
  readonly id: string;
  readonly port: number;
  readonly #child: ChildProcess;

  constructor(id: string, port: number, child: ChildProcess) {
    this.id = id;
    this.port = port;
    this.#child = child;
  }

  get url(): string {
    return `ws://${ownHost}:${this.port}`;
  }

  /** SIGSTOP: the kernel still accepts connections and data for it, and nobody answers. */
  suspend(): void {
    this.#child.kill("SIGSTOP");
  }

  /** Goes on as if nothing had been. */
  resume(): void {
    this.#child.kill("SIGCONT");
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

/** @param port any by default; a fixed one brings a backend back where it was */
export async function startBackendProcess(id: string, port = 0): Promise<BackendProcess> {
  const child = fork(echoFile, [id, ownHost, String(port)], { stdio: "inherit" });
  const gone = new BackendProcess(id, port, child);
  onCleanup(`the backend process ${id}`, () => gone.kill());
  const [listening] = await within(`the port of the backend process ${id}`, once(child, "message"));
  return new BackendProcess(id, Number(listening), child);
}
