// The Prometheus families. Gauges and the message counters are read when they are scraped (families/); the rest
// is counted here as the control plane hears of it. No label ever holds a user, a client's address or a path.

import prometheus from "prom-client";
import type { Config } from "../config/schema.ts";
import { PACE_QUEUE, type Admission } from "../control-plane/admission.ts";
import type { TimedEnd, TrafficObserver } from "../control-plane/dispatcher.ts";
import type { ErrorCode } from "../errors.ts";
import type { BufferedBytes } from "../shared-memory/buffered-bytes.ts";
import type { RoundTrips } from "../shared-memory/channel.ts";
import type { Counters } from "../shared-memory/counters.ts";
import { closeCodeLabel } from "../ws/close.ts";
import { Exposition } from "./exposition.ts";
import { admissionFamilies } from "./families/admission.ts";
import { backendFamilies } from "./families/backends.ts";
import { collectProcessMetrics, processFamilies, type ProcessSources } from "./families/process.ts";
import { trafficFamilies } from "./families/traffic.ts";

/** What is read at a scrape. */
export interface MetricsSources extends ProcessSources {
  readonly admission: Admission;
  readonly counters: Counters;
  readonly buffered: BufferedBytes;
}

/** For what is quick as a rule, and ends with a timeout of seconds at the worst. */
const WAIT_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** For connections, which live from a moment to days. */
const DURATION_BUCKETS_SECONDS = [1, 10, 60, 300, 1_800, 3_600, 14_400, 43_200, 86_400];

/** Where no route was found, so that the label is never empty. */
const NO_POOL = "none";

export class Metrics implements TrafficObserver {
  readonly #registry = new prometheus.Registry();
  readonly exposition = new Exposition(this.#registry);
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
    buckets: WAIT_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #durations = new prometheus.Histogram({
    name: "weir_connection_duration_seconds",
    help: "Time from a connection's 101 to its end.",
    buckets: DURATION_BUCKETS_SECONDS,
    registers: [this.#registry],
  });

  readonly #delays = new prometheus.Histogram({
    name: "weir_message_delay_seconds",
    help: "Time that messages above their limit waited before they went on.",
    buckets: WAIT_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #roundTrips = new prometheus.Histogram({
    name: "weir_round_trip_seconds",
    help: "Time from a Ping of Weir's own to its Pong, by the side that answered.",
    labelNames: ["pool", "side"] as const,
    buckets: WAIT_BUCKETS_SECONDS,
    registers: [this.#registry],
  });
  readonly #waits = new prometheus.Histogram({
    name: "weir_queue_wait_seconds",
    help: "Time that upgrades waited for their turn, or for a slot of a pool.",
    labelNames: ["queue"] as const,
    buckets: WAIT_BUCKETS_SECONDS,
    registers: [this.#registry],
  });

  /** Those that have a histogram, which must not be set to zero again. */
  readonly #pools = new Set<string>();
  /** Pools that have one for their queue. */
  readonly #queues = new Set<string>();

  constructor(version: string) {
    collectProcessMetrics(this.#registry);
    const info = new prometheus.Gauge({
      name: "weir_build_info",
      help: "Always 1; the label holds the version.",
      labelNames: ["version"],
      registers: [this.#registry],
    });
    info.set({ version }, 1);
    this.#upgrades.inc({ pool: NO_POOL, result: "no_route" }, 0);
    this.#closes.inc({ pool: NO_POOL, code: "1006", by: "weir", reason: "destroyed" }, 0);
    this.#requests.inc({ pool: NO_POOL, code: "404" }, 0);
    this.#waits.zero({ queue: PACE_QUEUE });
  }

  /** Adds the families that are read at a scrape. */
  observe(sources: MetricsSources): void {
    this.exposition.add(
      ...trafficFamilies(sources),
      ...backendFamilies(sources.admission),
      ...admissionFamilies(sources.admission),
      ...processFamilies(sources),
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

  #counter(name: string, help: string, labelNames: string[]): prometheus.Counter {
    return new prometheus.Counter({ name, help, labelNames, registers: [this.#registry] });
  }
}
