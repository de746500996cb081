// The composition root and the library's entry: builds the control plane, the worker threads and the
// admin server, and starts, reloads, drains and closes the whole.

import { availableParallelism } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { AdminServer } from "./admin/server.ts";
import { Metrics } from "./admin/metrics.ts";
import { formatProblem, parseConfig } from "./config/load.ts";
import type { BindAddress, Config } from "./config/schema.ts";
import { AbuseWatch } from "./control-plane/abuse.ts";
import { Admission } from "./control-plane/admission.ts";
import { answer, Dispatcher } from "./control-plane/dispatcher.ts";
import { drain } from "./control-plane/drain.ts";
import { resolveMaxConnections } from "./control-plane/open-files.ts";
import { UserBuckets } from "./control-plane/user-buckets.ts";
import { Workers } from "./control-plane/workers.ts";
import { ExitCode, FatalError } from "./errors.ts";
import { createLog, type Log } from "./log.ts";
import { ActivityTable } from "./shared-memory/activity.ts";
import { BucketTable } from "./shared-memory/bucket-table.ts";
import { SharedClock } from "./shared-memory/clock.ts";
import { Counters } from "./shared-memory/counters.ts";
import { packageVersion } from "./version.ts";

const SWEEP_INTERVAL_MS = 1_000;

export interface StartOptions {
  /** Where log lines go instead of standard output. */
  readonly log?: Log;
}

export interface Addresses {
  /** One per listener, such as `http://127.0.0.1:8080` or `unix:/run/weir.sock`, in their order. */
  readonly listeners: readonly string[];
  readonly admin: string | null;
}

/**
 * Starts Weir with a configuration as the YAML file has it, as plain data.
 * Throws FatalError: exit code 1 for a bad configuration, 71 for an address that cannot be bound.
 */
export async function start(config: unknown, options: StartOptions = {}): Promise<Weir> {
  return await Weir.start(resolved(config), options);
}

export class Weir {
  readonly #log: Log;
  readonly #clock = new SharedClock();
  readonly #counters = new Counters();
  readonly #metrics: Metrics;
  readonly #admission: Admission;
  readonly #abuse: AbuseWatch;
  readonly #workers: Workers;
  readonly #admin: AdminServer | null;
  #config: Config;
  #addresses: Addresses = { listeners: [], admin: null };
  #isReady = false;
  #isDraining = false;
  #drained: Promise<void> | null = null;
  #closed: Promise<void> | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;

  private constructor(config: Config, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#metrics = new Metrics(packageVersion());
    const clock = this.#clock;
    const activity = new ActivityTable();
    const buckets = new BucketTable();
    const maxConnections = resolveMaxConnections(config.limits.maxConnections);
    this.#admission = new Admission({
      config,
      counters: this.#counters,
      maxConnections,
      onDecision: (serial, id, decision) => {
        const thread = this.#workers.find(serial);
        if (thread !== undefined) answer(thread, id, decision);
      },
      buckets: new UserBuckets(buckets, () => clock.nowNs()),
      activity,
      onReplaced: (serial, id) => this.#close(serial, id, "replaced"),
      onBuckets: (serial, id, cells) =>
        this.#workers.find(serial)?.channel.post({ type: "buckets", id, buckets: cells }),
      onWaited: (waitedMs) => this.#metrics.upgradeWaited(waitedMs),
      now: () => clock.nowMs(),
    });
    this.#abuse = new AbuseWatch(config.limits.abuse);
    const dispatcher = new Dispatcher({
      admission: this.#admission,
      abuse: this.#abuse,
      log,
      observer: this.#metrics,
      close: (serial, id, reason) => this.#close(serial, id, reason),
      now: () => clock.nowMs(),
    });
    this.#workers = new Workers({
      threads: threadCount(config.threads),
      counters: this.#counters,
      buckets,
      activity,
      clock,
      log,
      onMessage: (thread, message) => dispatcher.onMessage(thread, message),
      onDeath: (thread) => dispatcher.onDeath(thread),
    });
    this.#metrics.observe({
      admission: this.#admission,
      counters: this.#counters,
      workerRestarts: () => this.#workers.restarts,
      isDraining: () => this.#isDraining,
    });
    this.#admin =
      config.admin === null
        ? null
        : new AdminServer(config.admin, {
            metrics: this.#metrics,
            isReady: () => this.#isReady && this.#workers.isServing,
          });
  }

  /** As `start`, with a configuration that is already resolved. */
  static async start(config: Config, options: StartOptions = {}): Promise<Weir> {
    const weir = new Weir(config, options.log ?? createLog(config.log));
    try {
      await weir.#start();
    } catch (error) {
      await weir.#stop();
      throw error;
    }
    return weir;
  }

  get addresses(): Addresses {
    return this.#addresses;
  }

  /** The data-plane threads. */
  get workers(): Pick<Workers, "size" | "kill" | "restarts"> {
    return this.#workers;
  }

  /**
   * Replaces the configuration; all or nothing. Listener addresses, `threads` and `admin.bind` cannot
   * change. Throws FatalError (exit code 1) and changes nothing where the new one cannot be used.
   */
  async reload(input: unknown): Promise<void> {
    const config = resolved(input);
    const before = this.#config;
    assertSameAddresses(before, config);
    try {
      await this.#workers.configure(config);
    } catch (error) {
      await this.#workers.configure(before);
      throw error;
    }
    this.#config = config;
    this.#abuse.configure(config.limits.abuse);
    this.#admission.configure(config, resolveMaxConnections(config.limits.maxConnections));
    if (config.admin !== null) this.#admin?.configure(config.admin);
    this.#log.configure?.(config.log);
    this.#log.info("configuration reloaded");
  }

  /** Stops accepting, says goodbye to every connection with 1001, and resolves when they are gone. */
  async drain(): Promise<void> {
    this.#isReady = false;
    this.#isDraining = true;
    this.#drained ??= drain({
      admission: this.#admission,
      workers: this.#workers,
      shutdown: this.#config.shutdown,
      log: this.#log,
    });
    await this.#drained;
  }

  /** Drains, then ends the threads and the admin server. */
  async close(): Promise<void> {
    this.#closed ??= this.drain().then(() => this.#stop());
    await this.#closed;
  }

  async #start(): Promise<void> {
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    await this.#workers.start(this.#config);
    const admin = (await this.#admin?.listen()) ?? null;
    this.#addresses = { listeners: await this.#workers.listen(), admin };
    this.#isReady = true;
    this.#log.info("started", {
      listeners: this.#addresses.listeners,
      threads: this.#workers.size,
      maxConnections: this.#admission.caps.maxConnections,
    });
  }

  #close(serial: number, id: number, reason: "abuse" | "replaced"): void {
    this.#workers.find(serial)?.channel.post({ type: "close", id, reason });
  }

  /** Forgets what time has settled: bans, violations, buckets that are full again. */
  #sweep(): void {
    this.#admission.sweep();
    this.#abuse.sweep(this.#clock.nowMs());
  }

  async #stop(): Promise<void> {
    this.#isReady = false;
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#admission.stop();
    await this.#workers.stop();
    await this.#admin?.close();
  }
}

/** What the threads and sockets were made with cannot change. Throws FatalError (exit code 1). */
function assertSameAddresses(before: Config, after: Config): void {
  const changed = [
    isDeepStrictEqual(bindsOf(before), bindsOf(after)) ? null : "listeners: bind",
    before.threads === after.threads ? null : "threads",
    isDeepStrictEqual(before.admin?.bind, after.admin?.bind) ? null : "admin.bind",
  ].filter((key) => key !== null);
  if (changed.length > 0) throw new FatalError(`${changed.join(", ")}: needs a restart`, ExitCode.usage);
}

function bindsOf(config: Config): BindAddress[] {
  return config.listeners.map(({ bind }) => bind);
}

function resolved(input: unknown): Config {
  const result = parseConfig(input);
  if (result.ok) return result.config;
  const problems = result.errors.map((problem) => formatProblem(problem, "error"));
  throw new FatalError(problems.join("\n"), ExitCode.usage);
}

/** Threads share a listener by `reusePort`; where the platform lacks it there is one. */
function threadCount(threads: number | "auto"): number {
  const hasReusePort = ["linux", "freebsd", "sunos", "aix"].includes(process.platform);
  if (!hasReusePort) return 1;
  return threads === "auto" ? availableParallelism() : threads;
}
