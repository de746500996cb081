// The composition root: builds the parts of a Weir and hands them to each other. When each of them is to do
// what, weir.ts says.

import { Admin } from "./admin/admin.ts";
import { CertificateExpiries } from "./admin/certificate-expiries.ts";
import { Metrics } from "./admin/metrics.ts";
import { UpgradeCounts } from "./admin/traffic.ts";
import type { Config } from "./config/schema.ts";
import { readerOf, type TlsFiles } from "./config/tls-files.ts";
import { AbuseWatch } from "./control-plane/abuse.ts";
import { AddressLimits } from "./control-plane/address-limits.ts";
import { Admission, type AdmissionEvents } from "./control-plane/admission.ts";
import { Alerts } from "./control-plane/alerts/alerts.ts";
import { answer, Dispatcher } from "./control-plane/dispatcher.ts";
import { Explainer } from "./control-plane/explainer.ts";
import { Fleet } from "./control-plane/fleet.ts";
import { Hints } from "./control-plane/hints.ts";
import { threadCount } from "./control-plane/listen-address.ts";
import { LiveState } from "./control-plane/live-state.ts";
import { resolveMaxConnections } from "./control-plane/open-files.ts";
import { Overload } from "./control-plane/overload.ts";
import { Oversight } from "./control-plane/oversight.ts";
import { Questions } from "./control-plane/questions.ts";
import { StateFile } from "./control-plane/state-file.ts";
import { HeldMessages } from "./control-plane/takeover/held-messages.ts";
import { Incumbent } from "./control-plane/takeover/incumbent.ts";
import { Taps } from "./control-plane/taps.ts";
import { TicketKeys } from "./control-plane/ticket-keys.ts";
import { UserBuckets } from "./control-plane/user-buckets.ts";
import { Workers } from "./control-plane/workers.ts";
import type { LastReload, Reloader } from "./reloader.ts";
import type { RememberingLog } from "./remembering-log.ts";
import { RunningConfig } from "./running-config.ts";
import { ActivityTable } from "./shared-memory/activity.ts";
import { BucketTable } from "./shared-memory/bucket-table.ts";
import { BufferedBytes } from "./shared-memory/buffered-bytes.ts";
import type { CloseOrder } from "./shared-memory/channel.ts";
import { SharedClock } from "./shared-memory/clock.ts";
import { Counters } from "./shared-memory/counters.ts";
import { EventLoopDelays } from "./shared-memory/event-loop-delay.ts";
import { packageVersion } from "./version.ts";

/** What reads the configuration file again, at a request to the admin API. */
export type Reloads = Pick<Reloader, "reload" | "dryRun" | "lastReload">;

/** What the parts ask of the whole. */
interface Whole {
  readonly log: RememberingLog;
  /** Null where there is no file to read again. */
  readonly reloads: Reloads | null;
  readonly lastReload: () => LastReload;
  /** @param pool also asks that a backend of this pool may be given work */
  readonly isReady: (pool: string | null) => boolean;
  readonly isDraining: () => boolean;
  readonly drain: () => void;
  /** Another process serves in this one's place. */
  readonly onReplaced: () => void;
}

export class Parts {
  readonly config: RunningConfig;
  readonly hints: Hints;
  readonly counters = new Counters();
  readonly metrics = new Metrics(packageVersion());
  readonly fleet: Fleet;
  readonly admission: Admission;
  readonly delays: EventLoopDelays;
  readonly expiries = new CertificateExpiries();
  readonly workers: Workers;
  readonly state: LiveState;
  readonly stateFile: StateFile;
  readonly admin: Admin | null;
  readonly incumbent: Incumbent;
  readonly heldMessages: HeldMessages;
  readonly #whole: Whole;
  readonly #clock = new SharedClock();
  readonly #now = (): number => this.#clock.nowMs();
  readonly #activity = new ActivityTable();
  readonly #buckets = new BucketTable();
  readonly #userBuckets = new UserBuckets(this.#buckets, () => this.#clock.nowNs());
  readonly #buffered: BufferedBytes;
  readonly #abuse: AbuseWatch;
  readonly #addressLimits: AddressLimits;
  readonly #overload: Overload;
  readonly #alerts: Alerts;
  readonly #ticketKeys: TicketKeys;
  readonly #questions = new Questions();
  readonly #taps = new Taps(() => this.workers.all);
  readonly #upgrades = new UpgradeCounts();
  readonly #dispatcher: Dispatcher;

  // In this order: each is handed only what is there already, or a function that asks for it later.
  constructor(config: Config, whole: Whole) {
    const { log } = whole;
    const now = this.#now;
    const threads = threadCount(config.threads);
    this.#whole = whole;
    this.config = this.#runningConfig(config);
    this.hints = new Hints(log);
    this.fleet = this.#makeFleet();
    this.#overload = new Overload({ resources: () => this.#alerts.vitals.resources, log, now });
    this.admission = this.#makeAdmission(config);
    this.state = new LiveState({ fleet: this.fleet, bans: this.admission.bans, now });
    this.stateFile = new StateFile({ records: () => this.state.records(), log });
    this.#abuse = new AbuseWatch(config.limits.abuse);
    this.#addressLimits = new AddressLimits(config.limits.perAddress, now);
    this.delays = new EventLoopDelays(threads, this.#clock);
    this.#buffered = new BufferedBytes(threads);
    this.#alerts = new Alerts(config.alerts, {
      delays: this.delays,
      admission: this.admission,
      fleet: this.fleet,
      log,
      now,
    });
    this.#overload.configure(config);
    this.#dispatcher = this.#makeDispatcher();
    this.heldMessages = new HeldMessages((thread, message) => this.#dispatcher.onMessage(thread, message));
    this.#ticketKeys = new TicketKeys((keys) => this.workers.broadcast({ type: "ticket-keys", keys }));
    this.workers = this.#makeWorkers(threads);
    this.metrics.configure(config);
    this.#observe();
    this.admin = config.admin === null ? null : this.#makeAdmin(config.admin);
    this.incumbent = this.#makeIncumbent();
  }

  /** Forgets what time has settled: bans, violations, buckets that are full again. */
  sweep(): void {
    this.admission.sweep();
    this.fleet.sweep();
    this.#abuse.sweep(this.#clock.nowMs());
    this.#addressLimits.sweep();
  }

  /** Looks how all is doing. */
  look(): void {
    this.#alerts.look();
    this.#overload.look();
  }

  async stop(): Promise<void> {
    this.stateFile.stop();
    this.delays.stop();
    this.#alerts.stop();
    this.admission.stop();
    this.fleet.stop();
    this.#ticketKeys.stop();
    await this.workers.stop();
    await this.admin?.close();
    await this.incumbent.leave();
  }

  #runningConfig(config: Config): RunningConfig {
    return new RunningConfig(config, {
      counters: this.counters,
      configureThreads: async (next, files) => {
        await this.workers.configure(next, files);
        await this.incumbent.configure(next.pidFile);
      },
      configureControl: (next, files) => this.#configure(next, files),
    });
  }

  #configure(config: Config, files: TlsFiles): void {
    this.stateFile.configure(config.state);
    this.#abuse.configure(config.limits.abuse);
    this.#addressLimits.configure(config.limits.perAddress);
    this.#alerts.configure(config.alerts);
    this.#overload.configure(config);
    this.fleet.configure(config, readerOf(files));
    this.metrics.configure(config);
    this.expiries.configure(config.listeners, readerOf(files));
    this.admission.configure(config, resolveMaxConnections(config.limits.maxConnections));
    if (config.admin !== null) this.admin?.configure(config.admin);
    this.#whole.log.configure(config.log);
  }

  #makeFleet(): Fleet {
    return new Fleet({
      log: this.#whole.log,
      now: this.#now,
      openOn: (backend) => this.admission.places.openOn(backend),
      close: ({ worker, request }, reason) => this.#close(worker, request.id, reason),
      onRoom: (pool) => this.admission.serve(pool),
    });
  }

  #makeAdmission(config: Config): Admission {
    return new Admission({
      config,
      counters: this.counters,
      maxConnections: resolveMaxConnections(config.limits.maxConnections),
      pools: this.fleet.pools,
      buckets: this.#userBuckets,
      overload: this.#overload,
      activity: this.#activity,
      events: this.#admissionEvents(),
      now: this.#now,
    });
  }

  #admissionEvents(): AdmissionEvents {
    return {
      decided: (serial, id, decision) => {
        const thread = this.workers.find(serial);
        if (thread !== undefined) answer(thread, id, decision);
      },
      replaced: (serial, id) => this.#close(serial, id, "replaced"),
      bucketsChanged: (serial, id, buckets) =>
        this.workers.find(serial)?.channel.post({ type: "buckets", id, buckets }),
      waited: (queue, waitedMs) => this.metrics.upgradeWaited(queue, waitedMs),
    };
  }

  #close(serial: number, id: number, reason: CloseOrder): void {
    this.workers.find(serial)?.channel.post({ type: "close", id, reason, words: null });
  }

  #makeDispatcher(): Dispatcher {
    return new Dispatcher({
      admission: this.admission,
      abuse: this.#abuse,
      addresses: this.#addressLimits,
      isReady: this.#whole.isReady,
      fleet: this.fleet,
      log: this.#whole.log,
      questions: this.#questions,
      taps: this.#taps,
      hints: this.hints,
      observers: [this.metrics, this.#alerts.vitals, this.#upgrades],
      close: (serial, id, reason) => this.#close(serial, id, reason),
      catchUp: () => this.#questions.catchUp(this.workers.all),
      now: this.#now,
    });
  }

  #makeWorkers(threads: number): Workers {
    return new Workers({
      threads,
      counters: this.counters,
      buckets: this.#buckets,
      activity: this.#activity,
      delays: this.delays,
      buffered: this.#buffered,
      clock: this.#clock,
      log: this.#whole.log,
      ticketKeys: this.#ticketKeys,
      onMessage: (thread, message) => this.heldMessages.onMessage(thread, message),
      onStart: (thread) => this.#taps.onStart(thread),
      onDeath: (thread) => {
        this.heldMessages.onDeath(thread);
        this.#dispatcher.onDeath(thread);
      },
    });
  }

  #observe(): void {
    this.metrics.observe({
      admission: this.admission,
      counters: this.counters,
      buffered: this.#buffered,
      delays: this.delays,
      health: this.#alerts.health,
      webhook: this.#alerts.webhook,
      expiries: this.expiries,
      workerRestarts: () => this.workers.restarts,
      isDraining: this.#whole.isDraining,
      lastReload: this.#whole.lastReload,
    });
  }

  #makeAdmin(adminConfig: NonNullable<Config["admin"]>): Admin {
    const { log, reloads, lastReload, isReady, isDraining, drain } = this.#whole;
    const { admission, fleet, workers, counters, metrics } = this;
    const config = (): Config => this.config.current;
    const questions = this.#questions;
    return new Admin(adminConfig, {
      log,
      config,
      admission,
      fleet,
      workers,
      counters,
      metrics,
      upgrades: this.#upgrades,
      vitals: this.#alerts.vitals,
      health: this.#alerts.health,
      taps: this.#taps,
      oversight: new Oversight({
        admission,
        buckets: this.#userBuckets,
        questions,
        log,
        threads: workers,
        now: this.#now,
      }),
      explainer: new Explainer({ config, admission, threads: workers, questions }),
      reloads,
      lastReload,
      isReady,
      isDraining,
      drain,
    });
  }

  #makeIncumbent(): Incumbent {
    return new Incumbent({
      log: this.#whole.log,
      facts: () => ({ listeners: this.workers.places, admin: this.admin?.place ?? null }),
      records: () => this.state.records(),
      giveUp: async () => await this.admin?.close(),
      takeBack: async () => void (await this.admin?.listen()),
      onReplaced: this.#whole.onReplaced,
    });
  }
}
