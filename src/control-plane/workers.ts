// Owns the data-plane threads: starts them, gives them the configuration and their listeners, starts
// them again when one dies, and ends them. What their messages mean is the dispatcher's business.

import v8 from "node:v8";
import type { BindAddress, Config } from "../config/schema.ts";
import type { TlsFiles } from "../config/tls-files.ts";
import { ExitCode, FatalError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ListenAddress, ToControl, ToWorker } from "../shared-memory/channel.ts";
import type { CounterBlock, Counters } from "../shared-memory/counters.ts";
import type { ActivityTable } from "../shared-memory/activity.ts";
import type { SharedClock } from "../shared-memory/clock.ts";
import type { BufferedBytes } from "../shared-memory/buffered-bytes.ts";
import type { EventLoopDelays } from "../shared-memory/event-loop-delay.ts";
import type { BucketTable } from "../shared-memory/bucket-table.ts";
import type { SocketBudget } from "../shared-memory/worker-setup.ts";
import { addressText, hasReusePort } from "./listen-address.ts";
import { socketBudget } from "./open-files.ts";
import { probeAddress } from "./probe.ts";
import { type Thread, WorkerThread } from "./thread.ts";
import type { TicketKeys } from "./ticket-keys.ts";

const FIRST_RESTART_DELAY_MS = 50;
const MAX_RESTART_DELAY_MS = 5_000;
/** A thread that lived this long starts over with the shortest restart delay. */
const STEADY_AFTER_MS = 60_000;

interface WorkersOptions {
  readonly threads: number;
  readonly counters: Counters;
  readonly buckets: BucketTable;
  readonly activity: ActivityTable;
  readonly delays: Pick<EventLoopDelays, "buffer">;
  readonly buffered: Pick<BufferedBytes, "buffer">;
  readonly clock: SharedClock;
  readonly log: Log;
  readonly ticketKeys: Pick<TicketKeys, "current">;
  readonly onMessage: (thread: Thread, message: ToControl) => void;
  /** Called as a thread starts, with the first of its messages still to come. */
  readonly onStart: (thread: Thread) => void;
  /** Called once a thread is gone, before it is started again. */
  readonly onDeath: (thread: Thread) => void;
}

export class Workers {
  restarts = 0;
  readonly #options: WorkersOptions;
  readonly #blocks: CounterBlock[];
  readonly #sockets: SocketBudget;
  readonly #running = new Map<number, WorkerThread>();
  readonly #restartTimers = new Map<number, NodeJS.Timeout>();
  readonly #restartDelayMs = new Map<number, number>();
  readonly #ports = new Map<number, number>();
  /** Listeners at paths that are another process's for the moment. */
  readonly #heldBack = new Set<number>();
  #nextSerial = 1;
  #config: Config | null = null;
  #files: TlsFiles = new Map();
  #version = 0;
  #isListening = false;
  #isStopping = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
    // The threads collect the buffers of large transfers themselves: see data-plane/read-garbage.ts.
    v8.setFlagsFromString("--expose-gc");
    this.#sockets = socketBudget(options.threads);
    options.buckets.onSegment((segment) => this.broadcast({ type: "bucket-segment", segment }));
    this.#blocks = Array.from({ length: options.threads }, () => options.counters.addBlock());
  }

  get size(): number {
    return this.#running.size;
  }

  /** Where connections are accepted: ports, and paths of Unix sockets. */
  get places(): (number | string)[] {
    return this.#configured().listeners.map(({ bind }, listener) =>
      bind.kind === "unix" ? bind.path : (this.#ports.get(listener) ?? bind.port),
    );
  }

  /** At least one thread accepts connections. */
  get isServing(): boolean {
    return [...this.#running.values()].some((thread) => thread.isServing);
  }

  /** Starts all threads and waits until each has taken the configuration. Throws FatalError. */
  async start(config: Config, files: TlsFiles): Promise<void> {
    this.#take(config, files);
    const threads = this.#blocks.map((_, index) => this.#spawn(index));
    await Promise.all(threads.map((thread) => this.#configure(thread)));
  }

  /** Hands a new configuration to every thread and waits for all of them. Throws where one cannot take it. */
  async configure(config: Config, files: TlsFiles): Promise<void> {
    this.#take(config, files);
    await Promise.all([...this.#running.values()].map((thread) => this.#configure(thread)));
  }

  /**
   * Opens every listener on every thread, after a probe that no other process holds the address.
   * Returns the address of each, with the port that the system chose where 0 was asked for.
   * Throws FatalError with exit code 71, naming address and reason.
   *
   * @param isShared whether an address is to be served beside the process that has it, unprobed; the path of
   *   a Unix socket stays that one's until `publish`
   */
  async listen(isShared: (bind: BindAddress) => boolean = () => false): Promise<string[]> {
    const config = this.#configured();
    const [first, ...others] = [...this.#running.values()];
    if (first === undefined) throw new FatalError("no worker thread is running", ExitCode.internal);
    const addresses: string[] = [];
    for (const [listener, { bind, tls }] of config.listeners.entries()) {
      const isBeside = isShared(bind);
      if (!isBeside) await probeAddress(bind);
      else if (bind.kind === "unix") this.#heldBack.add(listener);
      const port = await this.#listenOn(first, listener, config);
      this.#ports.set(listener, port);
      if (bind.kind === "tcp") {
        await Promise.all(others.map((thread) => this.#listenOn(thread, listener, config)));
      }
      addresses.push(addressText(bind, port, tls !== null));
    }
    for (const thread of this.#running.values()) thread.isServing = true;
    this.#isListening = true;
    return addresses;
  }

  /** Unix sockets that are shared get their paths. Throws FatalError with exit code 71. */
  async publish(): Promise<void> {
    if (this.#heldBack.size === 0) return;
    this.#heldBack.clear();
    for (const thread of this.#running.values()) await thread.publish();
  }

  /** Those that run. */
  get all(): Iterable<Thread> {
    return this.#running.values();
  }

  /** The thread with this serial, unless it is gone. */
  find(serial: number): Thread | undefined {
    return this.#running.get(serial);
  }

  broadcast(message: ToWorker): void {
    for (const thread of this.#running.values()) thread.channel.post(message);
  }

  /** Accepts no more; resolves once all who were accepted have sent their first request, or after this time. */
  async stopAccepting(withinMs: number): Promise<void> {
    await this.#askToStop({ type: "stop-accepting", withinMs }, "stopped-accepting");
  }

  /** Closes the listeners of all threads; open connections go on. */
  async stopListening(): Promise<void> {
    await this.#askToStop({ type: "stop-listening" }, "stopped-listening");
  }

  /** Ends all threads; what they still hold is cut. */
  async stop(): Promise<void> {
    this.#cancelRestarts();
    await Promise.all([...this.#running.values()].map((thread) => thread.terminate()));
  }

  /** Ends one thread as a crash would; it is started again. */
  async kill(index: number): Promise<void> {
    const thread = [...this.#running.values()].find((candidate) => candidate.index === index);
    await thread?.terminate();
  }

  async #askToStop(order: ToWorker, done: ToControl["type"]): Promise<void> {
    this.#cancelRestarts();
    await Promise.all([...this.#running.values()].map((thread) => thread.askToStop(order, done)));
  }

  #take(config: Config, files: TlsFiles): void {
    this.#config = config;
    this.#files = files;
    this.#version += 1;
  }

  #cancelRestarts(): void {
    this.#isStopping = true;
    for (const timer of this.#restartTimers.values()) clearTimeout(timer);
    this.#restartTimers.clear();
  }

  #configured(): Config {
    if (this.#config === null) throw new FatalError("workers are not configured", ExitCode.internal);
    return this.#config;
  }

  #spawn(index: number): WorkerThread {
    const block = this.#blocks[index];
    if (block === undefined) throw new FatalError(`no thread ${index}`, ExitCode.internal);
    const { buckets, activity, delays, buffered, clock, ticketKeys, log } = this.#options;
    const thread = new WorkerThread({
      serial: this.#nextSerial++,
      setup: {
        index,
        threads: this.#blocks.length,
        counters: block.buffer,
        bucketSegments: buckets.segments,
        activity: activity.buffer,
        eventLoopDelays: delays.buffer,
        bufferedBytes: buffered.buffer,
        sockets: this.#sockets,
        clockEpochNs: clock.epochNs,
        ticketKeys: ticketKeys.current,
      },
      log,
      onMessage: this.#options.onMessage,
      onExit: (ended) => this.#onExit(ended),
    });
    this.#running.set(thread.serial, thread);
    this.#options.onStart(thread);
    return thread;
  }

  #onExit(thread: WorkerThread): void {
    this.#running.delete(thread.serial);
    this.#options.onDeath(thread);
    if (this.#isListening) this.#scheduleRestart(thread.index, performance.now() - thread.startedAtMs);
  }

  /** @param livedMs how long the thread has served; 0 where it could not even be made */
  #scheduleRestart(index: number, livedMs: number): void {
    if (this.#isStopping) return;
    const lastDelayMs = this.#restartDelayMs.get(index) ?? 0;
    const delayMs =
      livedMs > STEADY_AFTER_MS || lastDelayMs === 0
        ? FIRST_RESTART_DELAY_MS
        : Math.min(lastDelayMs * 2, MAX_RESTART_DELAY_MS);
    this.#restartDelayMs.set(index, delayMs);
    this.#options.log.error("worker thread died, starting it again", { thread: index, delayMs });
    const timer = setTimeout(() => {
      this.#restartTimers.delete(index);
      this.#restart(index).catch((error: unknown) =>
        this.#options.log.error("worker thread could not be started again", {
          thread: index,
          error: String(error),
        }),
      );
    }, delayMs);
    this.#restartTimers.set(index, timer);
  }

  /** Without a thread there is no end that would bring the next try: the system may have none to give now. */
  #respawn(index: number): WorkerThread {
    try {
      return this.#spawn(index);
    } catch (error) {
      this.#scheduleRestart(index, 0);
      throw error;
    }
  }

  async #restart(index: number): Promise<void> {
    this.restarts += 1;
    const thread = this.#respawn(index);
    try {
      await this.#configure(thread);
      const config = this.#configured();
      for (const [listener, { bind }] of config.listeners.entries()) {
        if (bind.kind === "unix" && index !== 0) continue;
        await this.#listenOn(thread, listener, config);
      }
    } catch (error) {
      // Its end brings the next try, after a longer delay.
      await thread.terminate();
      throw error;
    }
    thread.isServing = true;
    this.#options.log.info("worker thread serves again", { thread: index });
  }

  async #configure(thread: WorkerThread): Promise<void> {
    await thread.configure(this.#version, this.#configured(), this.#files);
  }

  async #listenOn(thread: WorkerThread, listener: number, config: Config): Promise<number> {
    const bind = config.listeners[listener]?.bind;
    if (bind === undefined) throw new FatalError(`no listener ${listener}`, ExitCode.internal);
    return await thread.listen(listener, bind, this.#addressOf(listener, bind));
  }

  #addressOf(listener: number, bind: BindAddress): ListenAddress {
    if (bind.kind === "unix") {
      return { kind: "unix", path: bind.path, isHeldBack: this.#heldBack.has(listener) };
    }
    return {
      kind: "tcp",
      host: bind.host,
      port: this.#ports.get(listener) ?? bind.port,
      // Also of a single thread: another process may be started to take its place.
      reusePort: hasReusePort(),
    };
  }
}
