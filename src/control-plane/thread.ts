// One data-plane thread, from its start to its end: its channel, and the orders that it answers. When one is
// started, and what its end means, is its owner's business.

import { Worker } from "node:worker_threads";
import type { BindAddress, Config } from "../config/schema.ts";
import type { TlsFiles } from "../config/tls-files.ts";
import { ExitCode, FatalError } from "../errors.ts";
import type { Log } from "../log.ts";
import { Channel, type ListenAddress, type ToControl, type ToWorker } from "../shared-memory/channel.ts";
import type { WorkerSetup } from "../shared-memory/worker-setup.ts";

/**
 * The relay's garbage dies young, so a small young generation is as fast as V8's default of up to 64 MB,
 * and it is the larger part of what a few thousand idle connections add to the resident memory.
 */
const YOUNG_GENERATION_MB = 24;

/** One running thread. Its serial is never used again, so that late news of a dead one cannot be mixed up. */
export interface Thread {
  readonly serial: number;
  readonly index: number;
  readonly channel: Channel<ToWorker>;
}

interface WorkerThreadOptions {
  readonly serial: number;
  readonly setup: WorkerSetup;
  readonly log: Log;
  /** Takes what is no answer to an order of this file. */
  readonly onMessage: (thread: WorkerThread, message: ToControl) => void;
  readonly onExit: (thread: WorkerThread) => void;
}

interface Waiter {
  take(message: ToControl): boolean;
  fail(error: Error): void;
}

/** Throws where the system has no thread to give. */
export class WorkerThread implements Thread {
  readonly serial: number;
  readonly index: number;
  readonly channel: Channel<ToWorker>;
  readonly startedAtMs = performance.now();
  /** It accepts connections on all of its listeners. */
  isServing = false;
  readonly #options: WorkerThreadOptions;
  readonly #worker: Worker;
  readonly #waiting = new Set<Waiter>();

  constructor(options: WorkerThreadOptions) {
    const { serial, setup, log } = options;
    this.serial = serial;
    this.index = setup.index;
    this.#options = options;
    // The same file as .ts when run from the sources and as .js when run from the built package.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
    this.#worker = new Worker(new URL(`../data-plane/worker${extension}`, import.meta.url), {
      workerData: setup,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
      name: `weir-worker-${setup.index}`,
    });
    this.channel = new Channel<ToWorker>(this.#worker);
    this.#worker.on("message", (batch: ToControl[]) => {
      for (const message of batch) this.#receive(message);
    });
    this.#worker.on("error", (error) =>
      log.error("worker thread failed", { thread: this.index, error: String(error) }),
    );
    this.#worker.on("exit", () => this.#onExit());
  }

  /** Resolves once the thread has taken the configuration; throws FatalError where it cannot. */
  async configure(version: number, config: Config, files: TlsFiles): Promise<void> {
    const message = await this.#ask(
      { type: "configure", version, config, files },
      (answer) => answer.type === "configured" && answer.version === version,
    );
    if (message.type !== "configured" || message.error === null) return;
    throw new FatalError(message.error, ExitCode.usage);
  }

  /** Opens a listener; returns its port. Throws FatalError with exit code 71, naming address and reason. */
  async listen(listener: number, bind: BindAddress, address: ListenAddress): Promise<number> {
    const message = await this.#ask(
      { type: "listen", listener, address },
      (answer) =>
        (answer.type === "listening" || answer.type === "listen-failed") && answer.listener === listener,
    );
    if (message.type === "listening") return message.port;
    const code = message.type === "listen-failed" ? message.code : "unknown";
    throw new FatalError(`cannot listen on ${bind.text}: ${code}`, ExitCode.cannotBind);
  }

  /** Its Unix sockets that were held back get their paths. Throws FatalError with exit code 71. */
  async publish(): Promise<void> {
    const message = await this.#ask({ type: "publish" }, ({ type }) => type === "published");
    if (message.type !== "published" || message.error === null) return;
    throw new FatalError(`cannot listen: ${message.error}`, ExitCode.cannotBind);
  }

  /** Gives an order to stop something; resolves once it is done, or the thread has ended. */
  async askToStop(order: ToWorker, done: ToControl["type"]): Promise<void> {
    try {
      await this.#ask(order, ({ type }) => type === done);
    } catch (error) {
      this.#options.log.debug("thread ended", { error: String(error) });
    }
  }

  /** Ends it; what it still holds is cut. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(message: ToControl): void {
    for (const waiter of this.#waiting) {
      if (waiter.take(message)) return;
    }
    this.#options.onMessage(this, message);
  }

  #onExit(): void {
    for (const waiter of this.#waiting) waiter.fail(new Error(`worker thread ${this.index} ended`));
    this.#options.onExit(this);
  }

  /** The next message that answers the order; rejects where the thread ends first. */
  #ask(order: ToWorker, isAnswer: (message: ToControl) => boolean): Promise<ToControl> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        take: (message) => {
          if (!isAnswer(message)) return false;
          this.#waiting.delete(waiter);
          resolve(message);
          return true;
        },
        fail: reject,
      };
      this.#waiting.add(waiter);
      this.channel.post(order);
    });
  }
}
