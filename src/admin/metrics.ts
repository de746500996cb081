// The Prometheus families. Gauges and the message counters are read when they are scraped; the rest is
// counted as the control plane hears of it. No label ever holds a user, an address or a path.

import prometheus from "prom-client";
import type { Config } from "../config/schema.ts";
import { PACE_QUEUE, type Admission } from "../control-plane/admission.ts";
import type { TimedEnd, TrafficObserver } from "../control-plane/dispatcher.ts";
import type { ErrorCode } from "../errors.ts";
import type { RoundTrips } from "../shared-memory/channel.ts";
import type { CounterName, Counters } from "../shared-memory/counters.ts";
import type { LastReload } from "../reloader.ts";
import { closeCodeLabel } from "../ws/close.ts";
import { observeBackends } from "./backend-metrics.ts";

/** What the gauges are read from. */
export interface MetricsSources {
  readonly admission: Admission;
  readonly counters: Counters;
  readonly workerRestarts: () => number;
  readonly isDraining: () => boolean;
  readonly lastReload: () => LastReload;
}

const DIRECTIONS = [
  { direction: "client_to_backend", messages: "messagesToBackend", bytes: "bytesToBackend" },
  { direction: "backend_to_client", messages: "messagesToClient", bytes: "bytesToClient" },
] as const satisfies readonly { direction: string; messages: CounterName; bytes: CounterName }[];

const LIMIT_ACTIONS = [
  ["delay", "messagesDelayed"],
  ["drop", "messagesDropped"],
  ["close", "messagesClosedOn"],
  ["log", "messagesLogged"],
] as const satisfies readonly (readonly [string, CounterName])[];

const HANDSHAKE_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const DURATION_BUCKETS_SECONDS = [1, 10, 60, 300, 1_800, 3_600, 14_400, 43_200, 86_400];

/** Where no route was found, so that the label is never empty. */
const NO_POOL = "none";

export class Metrics implements TrafficObserver {
  readonly registry = new prometheus.Registry();
  readonly #upgrades = this.#counter(
    "weir_upgrades_total",
    "Upgrades by pool and result (ok or an error code).",
    ["pool", "result"],
  );
  readonly #retries = this.#counter("weir_dial_retries_total", "Dials repeated on another backend.", [
    "pool",
  ]);
  readonly #closes = this.#counter(
    "weir_closes_total",
    "Connections ended, by close code, the side that ended them, and the reason.",
    ["pool", "code", "by", "reason"],
  );
  readonly #requests = this.#counter("weir_http_requests_total", "Plain HTTP requests by pool and status.", [
    "pool",
    "code",
  ]);
  readonly #handshakes = new prometheus.Histogram({
    name: "weir_handshake_duration_seconds",
    help: "Time from a client's upgrade request to its 101.",
    labelNames: ["pool"] as const,
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly #durations = new prometheus.Histogram({
    name: "weir_connection_duration_seconds",
    help: "Time from a connection's 101 to its end.",
    buckets: DURATION_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  readonly #delays = new prometheus.Histogram({
    name: "weir_message_delay_seconds",
    help: "Time that messages above their limit waited before they went on.",
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly #roundTrips = new prometheus.Histogram({
    name: "weir_round_trip_seconds",
    help: "Time from a Ping of Weir's own to its Pong, by the side that answered.",
    labelNames: ["pool", "side"] as const,
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  });
  readonly #waits = new prometheus.Histogram({
    name: "weir_queue_wait_seconds",
    help: "Time that upgrades waited for their turn, or for a slot of a pool.",
    labelNames: ["queue"] as const,
    buckets: HANDSHAKE_BUCKETS_SECONDS,
    registers: [this.registry],
  });

  /** Those that have a histogram, which must not be set to zero again. */
  readonly #pools = new Set<string>();
  /** Pools that have one for their queue. */
  readonly #queues = new Set<string>();

  constructor(version: string) {
    prometheus.collectDefaultMetrics({ register: this.registry });
    const info = this.#gauge(
      "weir_build_info",
      "Always 1; the label holds the version.",
      ["version"],
      () => {},
    );
    info.set({ version }, 1);
    this.#upgrades.inc({ pool: NO_POOL, result: "no_route" }, 0);
    this.#closes.inc({ pool: NO_POOL, code: "1006", by: "weir", reason: "destroyed" }, 0);
    this.#requests.inc({ pool: NO_POOL, code: "404" }, 0);
    this.#waits.zero({ queue: PACE_QUEUE });
  }

  /** Adds the families that are read at a scrape. */
  observe({ admission, counters, workerRestarts, isDraining, lastReload }: MetricsSources): void {
    const open = this.#gauge("weir_connections", "Open connections.", ["tier", "pool"], () => {
      for (const { tier, pool, count } of admission.openConnections) open.set({ tier, pool }, count);
    });
    this.#observeAdmission(admission);
    observeBackends(this.registry, admission);
    this.#observeMessages(counters);
    this.#observeLimits(counters);
    const restarts = this.#counter("weir_worker_restarts_total", "Worker threads started again.", [], () => {
      restarts.reset();
      restarts.inc(workerRestarts());
    });
    const draining = this.#gauge("weir_draining", "1 from the begin of the shutdown on.", [], () =>
      draining.set(isDraining() ? 1 : 0),
    );
    const successful = this.#gauge(
      "weir_config_last_reload_successful",
      "1 where the last reload was applied; 0 where it was invalid or held back.",
      [],
      () => successful.set(lastReload().successful ? 1 : 0),
    );
    const reloadedAt = this.#gauge(
      "weir_config_last_reload_timestamp_seconds",
      "When the configuration was last read, at the start or at a reload.",
      [],
      () => reloadedAt.set(lastReload().atMs / 1_000),
    );
  }

  /** Every family has a sample of each pool from the start, or from the reload on that brings it. */
  configure({ pools }: Config): void {
    for (const [pool, { queue }] of Object.entries(pools)) {
      this.#upgrades.inc({ pool, result: "ok" }, 0);
      this.#retries.inc({ pool }, 0);
      if (queue !== null && !this.#queues.has(pool)) {
        this.#queues.add(pool);
        this.#waits.zero({ queue: `pool:${pool}` });
      }
      if (this.#pools.has(pool)) continue;
      this.#pools.add(pool);
      this.#handshakes.zero({ pool });
      for (const side of ["client", "backend"]) this.#roundTrips.zero({ pool, side });
    }
  }

  upgradeOpened(pool: string, handshakeMs: number): void {
    this.#upgrades.inc({ pool, result: "ok" });
    this.#handshakes.observe({ pool }, handshakeMs / 1_000);
  }

  upgradeRefused(pool: string | null, code: ErrorCode): void {
    this.#upgrades.inc({ pool: pool ?? NO_POOL, result: code });
  }

  /** An upgrade that waited has got its turn, or its slot. */
  upgradeWaited(queue: string, waitedMs: number): void {
    this.#waits.observe({ queue }, waitedMs / 1_000);
  }

  messagesDelayed(delaysMs: readonly number[]): void {
    for (const delayMs of delaysMs) this.#delays.observe(delayMs / 1_000);
  }

  peersAnswered(roundTrips: readonly RoundTrips[]): void {
    for (const { pool, side, roundTripsMs } of roundTrips) {
      const histogram = this.#roundTrips.labels({ pool, side });
      for (const roundTripMs of roundTripsMs) histogram.observe(roundTripMs / 1_000);
    }
  }

  dialRetried(pool: string): void {
    this.#retries.inc({ pool });
  }

  connectionEnded(pool: string, { code, by, reason, durationMs }: TimedEnd): void {
    this.#closes.inc({ pool, code: closeCodeLabel(code), by, reason });
    this.#durations.observe(durationMs / 1_000);
  }

  requestEnded(pool: string | null, status: number): void {
    this.#requests.inc({ pool: pool ?? NO_POOL, code: status });
  }

  #observeAdmission(admission: Admission): void {
    const limits = this.#gauge(
      "weir_connections_limit",
      "Connections at most, by tier; the tier `all` is the global cap. A tier without a cap has no sample.",
      ["tier"],
      () => {
        limits.reset();
        for (const { tier, limit } of admission.caps.all) limits.set({ tier }, limit);
      },
    );
    const users = this.#gauge("weir_users", "Users with at least one connection.", [], () =>
      users.set(admission.users),
    );
    const bans = this.#gauge("weir_bans", "Users that are banned now.", [], () =>
      bans.set(admission.bans.size),
    );
    const waiting = this.#gauge(
      "weir_queue_length",
      "Upgrades that wait: for their turn (`upgrades`), or for a slot of a pool (`pool:NAME`).",
      ["queue"],
      () => {
        waiting.reset();
        for (const { queue, length } of admission.waiting) waiting.set({ queue }, length);
      },
    );
  }

  #observeMessages(counters: Counters): void {
    const labels = ["direction", "tier", "pool"];
    const families = [
      ["messages", "weir_messages_total", "WebSocket messages passed on, counted at their first frame."],
      ["bytes", "weir_bytes_total", "Bytes on the wire of the frames passed on."],
    ] as const;
    for (const [figure, name, help] of families) {
      const family = this.#counter(name, help, labels, () => {
        family.reset();
        for (const entry of DIRECTIONS) {
          for (const { tier, pool, total } of counters.totals(entry[figure])) {
            family.inc({ direction: entry.direction, tier, pool }, total);
          }
        }
      });
    }
  }

  #observeLimits(counters: Counters): void {
    const limited = this.#counter(
      "weir_messages_limited_total",
      "Messages above a limit, by what was done with them.",
      ["action", "tier"],
      () => {
        limited.reset();
        for (const [action, name] of LIMIT_ACTIONS) {
          for (const { tier, total } of counters.totals(name)) limited.inc({ action, tier }, total);
        }
      },
    );
  }

  #counter(name: string, help: string, labelNames: string[], collect?: () => void): prometheus.Counter {
    return new prometheus.Counter({
      name,
      help,
      labelNames,
      registers: [this.registry],
      ...(collect === undefined ? {} : { collect }),
    });
  }

  #gauge(name: string, help: string, labelNames: string[], collect: () => void): prometheus.Gauge {
    return new prometheus.Gauge({ name, help, labelNames, registers: [this.registry], collect });
  }
}
