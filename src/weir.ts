// A Weir from its start to its end, and the library's entry: starts, reloads, drains and closes what parts.ts
// puts together.

import { arrive } from "./arrival.ts";
import { changeLines, changesBetween } from "./config/changes.ts";
import { formatProblem, isResolved, type LoadedConfig, parseConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { readerOf } from "./config/tls-files.ts";
import { drain } from "./control-plane/drain.ts";
import { hintAtOpenFiles } from "./control-plane/open-files.ts";
import type { Workers } from "./control-plane/workers.ts";
import { ExitCode, FatalError } from "./errors.ts";
import { InputSource } from "./input-source.ts";
import { createLog, type Log } from "./log.ts";
import { Parts, type Reloads } from "./parts.ts";
import type { LastReload } from "./reloader.ts";
import { RememberingLog } from "./remembering-log.ts";

const SWEEP_INTERVAL_MS = 1_000;

export interface StartOptions {
  /** Where log lines go instead of standard output. */
  readonly log?: Log;
  /** Who reads the configuration file again; without one `POST /api/reload` is refused. */
  readonly reloads?: Reloads;
  /** Replaces the running Weir of `pidFile`, if there is one. */
  readonly takesOver?: boolean;
  /** Once it is aborted, a running Weir is not replaced any more: `start` throws FatalError, exit code 0. */
  readonly ending?: AbortSignal;
}

/** Of a Weir whose configuration is plain data. */
interface InputOptions extends StartOptions {
  readonly source?: InputSource;
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
  const loaded = loadedFrom(config);
  if (isResolved(config)) return await Weir.start(config, options);
  const log = options.log ?? createLog(loaded.config.log);
  const source = new InputSource(log);
  const weir = await Weir.start(loaded.config, { reloads: source.reloader, ...options, log, source });
  source.follow({ weir, input: config, files: loaded.files });
  void weir.drainBegun.then(() => source.close());
  return weir;
}

export class Weir {
  readonly #log: RememberingLog;
  readonly #parts: Parts;
  #addresses: Addresses = { listeners: [], admin: null };
  #source: InputSource | null = null;
  #lastReload: LastReload = { successful: true, atMs: Date.now() };
  #isReady = false;
  #isDraining = false;
  /** Another process serves in this one's place. */
  #isReplaced = false;
  #drained: Promise<void> | null = null;
  readonly #drainBegun = Promise.withResolvers<void>();
  #closed: Promise<void> | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;

  private constructor(config: Config, log: RememberingLog, reloads: Reloads | null) {
    this.#log = log;
    this.#parts = new Parts(config, {
      log,
      reloads,
      lastReload: () => laterOf(this.#lastReload, reloads?.lastReload),
      isReady: (pool) => this.#isReadyFor(pool),
      isDraining: () => this.#isDraining,
      drain: () => void this.drain(),
      onReplaced: () => this.#onReplaced(),
    });
  }

  /** As `start`, with a configuration that is already resolved. */
  static async start(config: Config, options: InputOptions = {}): Promise<Weir> {
    const log = options.log ?? createLog(config.log);
    const remembering = log instanceof RememberingLog ? log : new RememberingLog(log, config.log);
    const weir = new Weir(config, remembering, options.reloads ?? null);
    weir.#source = options.source ?? null;
    try {
      await weir.#start(options.takesOver === true, options.ending ?? new AbortController().signal);
    } catch (error) {
      await weir.#stop();
      throw error;
    }
    return weir;
  }

  get addresses(): Addresses {
    return this.#addresses;
  }

  /** The configuration that is in effect. */
  get config(): Config {
    return this.#parts.config.current;
  }

  /** Resolves when a drain begins, whoever asks for it. */
  get drainBegun(): Promise<void> {
    return this.#drainBegun.promise;
  }

  /** The data-plane threads. */
  get workers(): Pick<Workers, "size" | "kill" | "restarts"> {
    return this.#parts.workers;
  }

  /**
   * Replaces the configuration; all or nothing. Listener addresses, `threads` and `admin.bind` cannot
   * change. Throws FatalError (exit code 1) and changes nothing where the new one cannot be used.
   */
  async reload(input: unknown): Promise<void> {
    try {
      const { config, files } = loadedFrom(input);
      const takeOver = (): Promise<Config> => this.#parts.config.apply(config);
      const followed = { weir: this, input, files };
      const before = await (this.#source?.replace(takeOver, followed) ?? takeOver());
      this.#log.info("configuration reloaded", { changes: changeLines(changesBetween(before, config)) });
      this.#lastReload = { successful: true, atMs: Date.now() };
    } catch (error) {
      this.#lastReload = { successful: false, atMs: Date.now() };
      throw error;
    }
  }

  /** As `reload`, with a configuration that is already resolved; what changed is the caller's to log. */
  async apply(config: Config): Promise<void> {
    await this.#parts.config.apply(config);
  }

  /** Throws where `apply` would. */
  verify(config: Config): void {
    this.#parts.config.verify(config);
  }

  /**
   * Fails `/readyz`, stops accepting after `shutdown.readyDelay`, says goodbye to every connection with 1001,
   * and resolves when they are gone; later calls wait for the same end.
   */
  async drain(): Promise<void> {
    this.#isReady = false;
    this.#isDraining = true;
    const { admission, workers, stateFile } = this.#parts;
    this.#drained ??= drain({
      admission,
      workers,
      shutdown: this.config.shutdown,
      closeTimeoutMs: this.config.timeouts.close,
      saveState: () => stateFile.save(),
      isReplaced: () => this.#isReplaced,
      log: this.#log,
    });
    this.#drainBegun.resolve();
    await this.#drained;
  }

  /** Drains, then ends the threads and the admin server. */
  async close(): Promise<void> {
    this.#closed ??= this.drain().then(() => this.#stop());
    await this.#closed;
  }

  async #start(takesOver: boolean, ending: AbortSignal): Promise<void> {
    const { config } = this;
    const { workers, fleet, admin, incumbent, heldMessages, stateFile, state } = this.#parts;
    const { files } = this.#parts.config;
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    stateFile.configure(config.state);
    this.#parts.expiries.configure(config.listeners, readerOf(files));
    this.#addresses = await arrive({
      config,
      files,
      takesOver,
      ending,
      log: this.#log,
      workers,
      fleet,
      admin,
      incumbent,
      heldMessages,
      stateFile,
      state,
    });
    hintAtOpenFiles(config.limits.maxConnections, this.#parts.hints);
    this.#isReady = true;
    this.#parts.delays.reset();
    this.#log.info("started", {
      listeners: this.#addresses.listeners,
      threads: workers.size,
      maxConnections: this.#parts.admission.caps.maxConnections,
    });
  }

  /** The process that has taken over has the admin address, the pidFile and the state. */
  #onReplaced(): void {
    this.#isReplaced = true;
    this.#parts.stateFile.stop();
    // The one who started this one learns of its end by `drainBegun`.
    void this.drain();
  }

  #isReadyFor(pool: string | null): boolean {
    const { workers, fleet } = this.#parts;
    if (!this.#isReady || !workers.isServing || !fleet.isFirstRoundOver) return false;
    return pool === null || (fleet.pools.find(pool)?.ready.length ?? 0) > 0;
  }

  #sweep(): void {
    this.#parts.sweep();
    if (this.#isReady) this.#parts.look();
  }

  async #stop(): Promise<void> {
    this.#isReady = false;
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    await this.#parts.stop();
  }
}

/** Throws FatalError (exit code 1) with every error. */
function loadedFrom(input: unknown): LoadedConfig {
  const result = parseConfig(input);
  if (result.ok) return result;
  const problems = result.errors.map((problem) => formatProblem(problem, "error"));
  throw new FatalError(problems.join("\n"), ExitCode.usage);
}

function laterOf(one: LastReload, other: LastReload | undefined): LastReload {
  return other === undefined || other.atMs < one.atMs ? one : other;
}
