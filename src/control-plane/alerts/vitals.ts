// How Weir is doing, in figures of the last minute: upgrades that failed, round trips, memory, and how late
// the event loops are. Kept in slices of time, so that what is over counts no more.

import os from "node:os";
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import v8 from "node:v8";
import type { ErrorCode } from "../../errors.ts";
import type { RoundTrips } from "../../shared-memory/channel.ts";
import type { EventLoopDelays } from "../../shared-memory/event-loop-delay.ts";
import type { TrafficObserver } from "../dispatcher.ts";
import { isOwnShortage } from "../health/own-shortage.ts";

const SLICE_MS = 10_000;
const SLICES = 6;

const LONGEST_ROUND_TRIP_US = 3_600_000_000;

/**
 * Answers that say that something is broken here or behind us. Not those of a limit that does what it is
 * there for, nor of a shutdown.
 */
const FAULTS: ReadonlySet<string> = new Set([
  "auth_unavailable",
  "backend_failed",
  "backend_timeout",
  "backends_full",
  "internal",
  "no_backend",
]);

interface Quantiles {
  /** Milliseconds; null where no round trip was measured. */
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface Figures {
  /** Upgrades of the last minute that were answered by their backend or failed. */
  readonly upgrades: { readonly total: number; readonly failed: number };
  /** Share of them that failed by the backends' or Weir's fault, 0..1. */
  readonly errorRate: number;
  readonly roundTripMs: { readonly client: Quantiles; readonly backend: Quantiles };
  readonly memory: {
    readonly rssBytes: number;
    /** What the process may have: its control group's limit, else the machine's memory. */
    readonly limitBytes: number;
    /** Of that, or of the main thread's heap, whichever is nearer to its limit; 0..1. */
    readonly share: number;
  };
  /** Each thread's p99 of the last seconds. */
  readonly eventLoopDelayMs: { readonly main: number; readonly workers: readonly number[] };
}

export type Resources = Pick<Figures, "memory" | "eventLoopDelayMs">;

interface Slice {
  upgrades: number;
  failed: number;
  readonly client: RecordableHistogram;
  readonly backend: RecordableHistogram;
}

interface VitalsOptions {
  readonly delays: Pick<EventLoopDelays, "latest">;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

export class Vitals implements Partial<TrafficObserver> {
  readonly #options: VitalsOptions;
  readonly #slices: readonly Slice[] = Array.from({ length: SLICES }, () => ({
    upgrades: 0,
    failed: 0,
    client: microsecondHistogram(),
    backend: microsecondHistogram(),
  }));
  readonly #limitBytes = memoryLimit();
  #rssBytes = 0;
  /** Number of the newest slice, counted from the beginning of the clock. */
  #newest = 0;

  constructor(options: VitalsOptions) {
    this.#options = options;
  }

  upgradeOpened(): void {
    const slice = this.#current();
    slice.upgrades += 1;
  }

  upgradeRefused(_pool: string | null, code: ErrorCode, status: number | null): void {
    // A backend that says no to a client is fine; one that answers 500 is not.
    const isFault = code === "backend_refused" ? (status ?? 0) >= 500 : FAULTS.has(code);
    if (!isFault) return;
    const slice = this.#current();
    slice.upgrades += 1;
    slice.failed += 1;
  }

  peersAnswered(roundTrips: readonly RoundTrips[]): void {
    const slice = this.#current();
    for (const { side, roundTripsMs } of roundTrips) {
      for (const ms of roundTripsMs) {
        slice[side].record(Math.min(Math.max(1, Math.round(ms * 1_000)), LONGEST_ROUND_TRIP_US));
      }
    }
  }

  get current(): Figures {
    this.#current();
    const total = this.#slices.reduce((sum, { upgrades }) => sum + upgrades, 0);
    const failed = this.#slices.reduce((sum, slice) => sum + slice.failed, 0);
    return {
      upgrades: { total, failed },
      errorRate: total === 0 ? 0 : failed / total,
      roundTripMs: { client: this.#quantiles("client"), backend: this.#quantiles("backend") },
      ...this.resources,
    };
  }

  /** The part of them that is Weir's own. */
  get resources(): Resources {
    return { memory: this.#memory(), eventLoopDelayMs: this.#options.delays.latest };
  }

  /** The slice of this moment; those whose time has come again since are emptied. */
  #current(): Slice {
    const now = Math.floor(this.#options.now() / SLICE_MS);
    for (let one = Math.max(this.#newest + 1, now - SLICES + 1); one <= now; one++) empty(this.#at(one));
    this.#newest = now;
    return this.#at(now);
  }

  #at(number: number): Slice {
    return this.#slices[number % SLICES] as Slice;
  }

  #quantiles(side: "client" | "backend"): Quantiles {
    const all = microsecondHistogram();
    for (const slice of this.#slices) all.add(slice[side]);
    if (all.count === 0) return { p50: null, p99: null };
    return { p50: all.percentile(50) / 1_000, p99: all.percentile(99) / 1_000 };
  }

  #memory(): Figures["memory"] {
    const rssBytes = this.#measureRss();
    const heap = v8.getHeapStatistics();
    const share = Math.max(rssBytes / this.#limitBytes, heap.used_heap_size / heap.heap_size_limit);
    return { rssBytes, limitBytes: this.#limitBytes, share };
  }

  /** The system tells it through a file: while clients hold all that may be open, the last figure has to do. */
  #measureRss(): number {
    try {
      this.#rssBytes = process.memoryUsage.rss();
    } catch (error) {
      if (!isOwnShortage(error, false)) throw error;
    }
    return this.#rssBytes;
  }
}

function empty(slice: Slice): void {
  slice.upgrades = 0;
  slice.failed = 0;
  slice.client.reset();
  slice.backend.reset();
}

function microsecondHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: LONGEST_ROUND_TRIP_US, figures: 2 });
}

/** Bytes. Without a control group the system reports none, or one that is larger than the machine. */
function memoryLimit(): number {
  const machine = os.totalmem();
  const constrained = process.constrainedMemory();
  return constrained > 0 && constrained < machine ? constrained : machine;
}
