// The composition root and the library's entry: builds the control plane, the worker threads and the
// admin server, and starts, reloads, drains and closes the whole.

import { Admin } from "./admin/admin.ts";
import { CertificateExpiries } from "./admin/certificate-expiries.ts";
import { Metrics } from "./admin/metrics.ts";
import { UpgradeCounts } from "./admin/traffic.ts";
import { arrive } from "./arrival.ts";
import { changeLines, changesBetween } from "./config/changes.ts";
import { formatProblem, isResolved, type LoadedConfig, parseConfig } from "./config/load.ts";
import type { Config } from "./config/schema.ts";
import { readerOf, type TlsFiles } from "./config/tls-files.ts";
import { AbuseWatch } from "./control-plane/abuse.ts";
import { AddressLimits } from "./control-plane/address-limits.ts";
import { Admission, type AdmissionEvents } from "./control-plane/admission.ts";
import { Alerts } from "./control-plane/alerts/alerts.ts";
import { answer, Dispatcher } from "./control-plane/dispatcher.ts";
import { drain } from "./control-plane/drain.ts";
import { Explainer } from "./control-plane/explainer.ts";
import { Fleet } from "./control-plane/fleet.ts";
import { threadCount } from "./control-plane/listen-address.ts";
import { Hints } from "./control-plane/hints.ts";
import { LiveState } from "./control-plane/live-state.ts";
import { hintAtOpenFiles, resolveMaxConnections } from "./control-plane/open-files.ts";
import { Oversight } from "./control-plane/oversight.ts";
import { Overload } from "./control-plane/overload.ts";
import { Questions } from "./control-plane/questions.ts";
import { StateFile } from "./control-plane/state-file.ts";
import { HeldMessages } from "./control-plane/takeover/held-messages.ts";
import { Incumbent } from "./control-plane/takeover/incumbent.ts";
import { Taps } from "./control-plane/taps.ts";
import { TicketKeys } from "./control-plane/ticket-keys.ts";
import { UserBuckets } from "./control-plane/user-buckets.ts";
import { Workers } from "./control-plane/workers.ts";
import { ExitCode, FatalError } from "./errors.ts";
import { InputSource } from "./input-source.ts";
import { createLog, type Log } from "./log.ts";
import { RememberingLog } from "./remembering-log.ts";
import { ActivityTable } from "./shared-memory/activity.ts";
import { BucketTable } from "./shared-memory/bucket-table.ts";
import type { LastReload, Reloader } from "./reloader.ts";
import { RunningConfig } from "./running-config.ts";
import { SharedClock } from "./shared-memory/clock.ts";
import type { CloseOrder } from "./shared-memory/channel.ts";
import { Counters } from "./shared-memory/counters.ts";
import { BufferedBytes } from "./shared-memory/buffered-bytes.ts";
import { EventLoopDelays } from "./shared-memory/event-loop-delay.ts";
import { packageVersion } from "./version.ts";

const SWEEP_INTERVAL_MS = 1_000;

/** What reads the configuration file again, at a request to the admin API. */
type Reloads = Pick<Reloader, "reload" | "dryRun" | "lastReload">;

export interface StartOptions {
  /** Where log lines go instead of standard output. */
  readonly log?: Log;
  /** Who reads the configuration file again; without one `POST /api/reload` is refused. */
  readonly reloads?: Reloads;
  /** Replaces the running Weir of `pidFile`, if there is one. */
  readonly takesOver?: boolean;
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
  source.follow(weir, config, loaded.files);
  void weir.drainBegun.then(() => source.close());
  return weir;
}

export class Weir {
  readonly #log: RememberingLog;
  readonly #hints: Hints;
  readonly #clock = new SharedClock();
  readonly #counters = new Counters();
  readonly #metrics: Metrics;
  readonly #fleet: Fleet;
  readonly #admission: Admission;
  readonly #abuse: AbuseWatch;
  readonly #addressLimits: AddressLimits;
  readonly #delays: EventLoopDelays;
  readonly #overload: Overload;
  readonly #expiries = new CertificateExpiries();
  readonly #alerts: Alerts;
  readonly #ticketKeys: TicketKeys;
  readonly #workers: Workers;
  readonly #state: LiveState;
  readonly #stateFile: StateFile;
  readonly #admin: Admin | null;
  readonly #incumbent: Incumbent;
  readonly #heldMessages: HeldMessages;
  readonly #config: RunningConfig;
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
    this.#hints = new Hints(log);
    this.#config = new RunningConfig(config, {
      counters: this.#counters,
      configureThreads: async (next, files) => {
        await this.#workers.configure(next, files);
        await this.#incumbent.configure(next.pidFile);
      },
      configureControl: (next, files) => this.#configure(next, files),
    });
    this.#metrics = new Metrics(packageVersion());
    const clock = this.#clock;
    const activity = new ActivityTable();
    const buckets = new BucketTable();
    const maxConnections = resolveMaxConnections(config.limits.maxConnections);
    this.#fleet = new Fleet({
      log,
      now: () => clock.nowMs(),
      openOn: (backend) => this.#admission.places.openOn(backend),
      close: ({ worker, request }, reason) => this.#close(worker, request.id, reason),
      onRoom: (pool) => this.#admission.serve(pool),
    });
    this.#overload = new Overload({
      resources: () => this.#alerts.vitals.resources,
      log,
      now: () => clock.nowMs(),
    });
    const userBuckets = new UserBuckets(buckets, () => clock.nowNs());
    this.#admission = new Admission({
      config,
      counters: this.#counters,
      maxConnections,
      pools: this.#fleet.pools,
      buckets: userBuckets,
      overload: this.#overload,
      activity,
      events: this.#admissionEvents(),
      now: () => clock.nowMs(),
    });
    this.#state = new LiveState({
      fleet: this.#fleet,
      bans: this.#admission.bans,
      now: () => clock.nowMs(),
    });
    this.#stateFile = new StateFile({ records: () => this.#state.records(), log });
    this.#abuse = new AbuseWatch(config.limits.abuse);
    this.#addressLimits = new AddressLimits(config.limits.perAddress, () => clock.nowMs());
    const threads = threadCount(config.threads);
    this.#delays = new EventLoopDelays(threads, clock);
    const buffered = new BufferedBytes(threads);
    this.#alerts = new Alerts(config.alerts, {
      delays: this.#delays,
      admission: this.#admission,
      fleet: this.#fleet,
      log,
      now: () => clock.nowMs(),
    });
    this.#overload.configure(config);
    const upgrades = new UpgradeCounts();
    const questions = new Questions();
    const taps = new Taps(() => this.#workers.all);
    const dispatcher = new Dispatcher({
      admission: this.#admission,
      abuse: this.#abuse,
      addresses: this.#addressLimits,
      isReady: (pool) => this.#isReadyFor(pool),
      fleet: this.#fleet,
      log,
      questions,
      taps,
      hints: this.#hints,
      observers: [this.#metrics, this.#alerts.vitals, upgrades],
      close: (serial, id, reason) => this.#close(serial, id, reason),
      now: () => clock.nowMs(),
    });
    this.#heldMessages = new HeldMessages((thread, message) => dispatcher.onMessage(thread, message));
    this.#ticketKeys = new TicketKeys((keys) => this.#workers.broadcast({ type: "ticket-keys", keys }));
    this.#workers = new Workers({
      threads,
      counters: this.#counters,
      buckets,
      activity,
      delays: this.#delays,
      buffered,
      clock,
      log,
      ticketKeys: this.#ticketKeys,
      onMessage: (thread, message) => this.#heldMessages.onMessage(thread, message),
      onStart: (thread) => taps.onStart(thread),
      onDeath: (thread) => {
        this.#heldMessages.onDeath(thread);
        dispatcher.onDeath(thread);
      },
    });
    const lastReload = (): LastReload => laterOf(this.#lastReload, reloads?.lastReload);
    this.#metrics.configure(config);
    this.#metrics.observe({
      admission: this.#admission,
      counters: this.#counters,
      buffered,
      delays: this.#delays,
      health: this.#alerts.health,
      webhook: this.#alerts.webhook,
      expiries: this.#expiries,
      workerRestarts: () => this.#workers.restarts,
      isDraining: () => this.#isDraining,
      lastReload,
    });
    const parts = {
      log,
      config: () => this.config,
      admission: this.#admission,
      fleet: this.#fleet,
      workers: this.#workers,
      counters: this.#counters,
      metrics: this.#metrics,
      upgrades,
      vitals: this.#alerts.vitals,
      health: this.#alerts.health,
      taps,
      oversight: new Oversight({
        admission: this.#admission,
        buckets: userBuckets,
        questions,
        log,
        threads: this.#workers,
        now: () => clock.nowMs(),
      }),
      explainer: new Explainer({
        config: () => this.config,
        admission: this.#admission,
        threads: this.#workers,
        questions,
      }),
      reloads,
      lastReload,
      isReady: (pool: string | null) => this.#isReadyFor(pool),
      isDraining: () => this.#isDraining,
      drain: () => void this.drain(),
    };
    this.#admin = config.admin === null ? null : new Admin(config.admin, parts);
    this.#incumbent = new Incumbent({
      log,
      facts: () => ({ listeners: this.#workers.places, admin: this.#admin?.place ?? null }),
      records: () => this.#state.records(),
      giveUp: async () => await this.#admin?.close(),
      takeBack: async () => void (await this.#admin?.listen()),
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
      await weir.#start(options.takesOver === true);
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
    return this.#config.current;
  }

  /** Resolves when a drain begins, whoever asks for it. */
  get drainBegun(): Promise<void> {
    return this.#drainBegun.promise;
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
    try {
      const { config, files } = loadedFrom(input);
      const before = await this.#config.apply(config);
      this.#source?.follow(this, input, files);
      this.#log.info("configuration reloaded", { changes: changeLines(changesBetween(before, config)) });
      this.#lastReload = { successful: true, atMs: Date.now() };
    } catch (error) {
      this.#lastReload = { successful: false, atMs: Date.now() };
      throw error;
    }
  }

  /** As `reload`, with a configuration that is already resolved; what changed is the caller's to log. */
  async apply(config: Config): Promise<void> {
    await this.#config.apply(config);
  }

  /** Throws where `apply` would. */
  verify(config: Config): void {
    this.#config.verify(config);
  }

  /**
   * Fails `/readyz`, stops accepting after `shutdown.readyDelay`, says goodbye to every connection with 1001,
   * and resolves when they are gone; later calls wait for the same end.
   */
  async drain(): Promise<void> {
    this.#isReady = false;
    this.#isDraining = true;
    this.#drained ??= drain({
      admission: this.#admission,
      workers: this.#workers,
      shutdown: this.config.shutdown,
      closeTimeoutMs: this.config.timeouts.close,
      saveState: () => this.#stateFile.save(),
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

  #configure(config: Config, files: TlsFiles): void {
    this.#stateFile.configure(config.state);
    this.#abuse.configure(config.limits.abuse);
    this.#addressLimits.configure(config.limits.perAddress);
    this.#alerts.configure(config.alerts);
    this.#overload.configure(config);
    this.#fleet.configure(config, readerOf(files));
    this.#metrics.configure(config);
    this.#expiries.configure(config.listeners, readerOf(files));
    this.#admission.configure(config, resolveMaxConnections(config.limits.maxConnections));
    if (config.admin !== null) this.#admin?.configure(config.admin);
    this.#log.configure(config.log);
  }

  async #start(takesOver: boolean): Promise<void> {
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
    this.#stateFile.configure(this.config.state);
    this.#expiries.configure(this.config.listeners, readerOf(this.#config.files));
    this.#addresses = await arrive({
      config: this.config,
      files: this.#config.files,
      takesOver,
      log: this.#log,
      workers: this.#workers,
      fleet: this.#fleet,
      admin: this.#admin,
      incumbent: this.#incumbent,
      heldMessages: this.#heldMessages,
      stateFile: this.#stateFile,
      state: this.#state,
    });
    hintAtOpenFiles(this.config.limits.maxConnections, this.#hints);
    this.#isReady = true;
    this.#delays.reset();
    this.#log.info("started", {
      listeners: this.#addresses.listeners,
      threads: this.#workers.size,
      maxConnections: this.#admission.caps.maxConnections,
    });
  }

  /** The process that has taken over has the admin address, the pidFile and the state. */
  #onReplaced(): void {
    this.#isReplaced = true;
    this.#stateFile.stop();
    // The one who started this one learns of its end by `drainBegun`.
    void this.drain();
  }

  #admissionEvents(): AdmissionEvents {
    return {
      decided: (serial, id, decision) => {
        const thread = this.#workers.find(serial);
        if (thread !== undefined) answer(thread, id, decision);
      },
      replaced: (serial, id) => this.#close(serial, id, "replaced"),
      bucketsChanged: (serial, id, buckets) =>
        this.#workers.find(serial)?.channel.post({ type: "buckets", id, buckets }),
      waited: (queue, waitedMs) => this.#metrics.upgradeWaited(queue, waitedMs),
    };
  }

  #isReadyFor(pool: string | null): boolean {
    if (!this.#isReady || !this.#workers.isServing || !this.#fleet.isFirstRoundOver) return false;
    return pool === null || (this.#fleet.pools.find(pool)?.ready.length ?? 0) > 0;
  }

  #close(serial: number, id: number, reason: CloseOrder): void {
    this.#workers.find(serial)?.channel.post({ type: "close", id, reason, words: null });
  }

  /** Forgets what time has settled: bans, violations, buckets that are full again. And looks how all is doing. */
  #sweep(): void {
    this.#admission.sweep();
    this.#fleet.sweep();
    this.#abuse.sweep(this.#clock.nowMs());
    this.#addressLimits.sweep();
    if (!this.#isReady) return;
    this.#alerts.look();
    this.#overload.look();
  }

  async #stop(): Promise<void> {
    this.#isReady = false;
    this.#stateFile.stop();
    if (this.#sweepTimer !== null) clearInterval(this.#sweepTimer);
    this.#delays.stop();
    this.#alerts.stop();
    this.#admission.stop();
    this.#fleet.stop();
    this.#ticketKeys.stop();
    await this.#workers.stop();
    await this.#admin?.close();
    await this.#incumbent.leave();
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
