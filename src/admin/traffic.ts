// What passes through Weir: totals since the start, and what of it came within the last second.

import type { TrafficObserver } from "../control-plane/dispatcher.ts";
import type { CounterName, Counters } from "../shared-memory/counters.ts";

export interface Traffic {
  readonly messages: { readonly clientToBackend: number; readonly backendToClient: number };
  readonly bytes: { readonly clientToBackend: number; readonly backendToClient: number };
  /** Messages above a limit, by what was done with them. */
  readonly limited: {
    readonly delay: number;
    readonly drop: number;
    readonly close: number;
    readonly log: number;
  };
}

const SAMPLE_INTERVAL_MS = 1_000;

/** Builds a Traffic figure by figure. */
function trafficOf(figure: (name: CounterName) => number): Traffic {
  return {
    messages: {
      clientToBackend: figure("messagesToBackend"),
      backendToClient: figure("messagesToClient"),
    },
    bytes: { clientToBackend: figure("bytesToBackend"), backendToClient: figure("bytesToClient") },
    limited: {
      delay: figure("messagesDelayed"),
      drop: figure("messagesDropped"),
      close: figure("messagesClosedOn"),
      log: figure("messagesLogged"),
    },
  };
}

export class TrafficSampler {
  readonly #counters: Pick<Counters, "totals">;
  /** Monotonic milliseconds. */
  readonly #now: () => number;
  #last = new Map<CounterName, number>();
  #sampledAtMs: number;
  #perSecond: Traffic = trafficOf(() => 0);
  #timer: NodeJS.Timeout | null = null;

  constructor(counters: Pick<Counters, "totals">, now: () => number = () => performance.now()) {
    this.#counters = counters;
    this.#now = now;
    this.#sampledAtMs = now();
  }

  /** Since the start. */
  get totals(): Traffic {
    return trafficOf((name) => this.#total(name));
  }

  /** Between the last two samples. */
  get perSecond(): Traffic {
    return this.#perSecond;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.sample(), SAMPLE_INTERVAL_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  sample(): void {
    const nowMs = this.#now();
    const seconds = (nowMs - this.#sampledAtMs) / 1_000;
    if (seconds <= 0) return;
    const totals = new Map<CounterName, number>();
    this.#perSecond = trafficOf((name) => {
      const total = this.#total(name);
      totals.set(name, total);
      return Math.round((total - (this.#last.get(name) ?? 0)) / seconds);
    });
    this.#last = totals;
    this.#sampledAtMs = nowMs;
  }

  #total(name: CounterName): number {
    let sum = 0;
    for (const { total } of this.#counters.totals(name)) sum += total;
    return sum;
  }
}

/** Upgrades since the start. */
export class UpgradeCounts implements Partial<TrafficObserver> {
  accepted = 0;
  refused = 0;

  upgradeOpened(): void {
    this.accepted += 1;
  }

  upgradeRefused(): void {
    this.refused += 1;
  }
}
