// Looks at every open connection of the thread now and then, for those that are dead, stuck, idle or old, and
// tells the main thread when each client was last heard of, and how much waits for slow readers. One timer, and
// no times on the message path.

import type { BufferedBytesCells } from "../shared-memory/buffered-bytes.ts";
import type { SharedClock } from "../shared-memory/clock.ts";
import {
  ConnectionWatch,
  type RoundTripObserver,
  type SweepSettings,
  type WatchedConnection,
} from "./connection-watch.ts";

/** The connections take turns, so that the pings of a look are never those of all. */
const TURNS = 4;

/** Looks within the shortest of the times: they make it that much longer at most. */
const LOOKS_PER_TIMEOUT = 30;
const MIN_PERIOD_MS = 20;
const MAX_PERIOD_MS = 1_000;

/** A thread that was held up has not listened either: that time is nobody's silence. */
const MAX_PERIODS_PER_LOOK = 2;

interface KeepaliveOptions {
  /** Milliseconds on the clock that all threads share, by `activityCell`. */
  readonly activity: Float64Array;
  readonly clock: Pick<SharedClock, "nowMs">;
  readonly buffered: Pick<BufferedBytesCells, "set">;
  /** Milliseconds since the epoch. */
  readonly dateMs: () => number;
  readonly onRoundTrip: RoundTripObserver;
}

interface Turn {
  readonly watches: Map<WatchedConnection, ConnectionWatch>;
  lookedAtMs: number;
  /** Passes with the looks, and by no more than a peer may be taken for silent between two. */
  nowMs: number;
  /** Bytes that wait for clients and for backends, as of the last look. */
  clientBytes: number;
  backendBytes: number;
}

export class Keepalive {
  readonly #options: KeepaliveOptions;
  readonly #turns: readonly Turn[];
  #settings: SweepSettings = {
    periodMs: MAX_PERIOD_MS,
    timeouts: { idle: null, ping: null, slowConsumer: null, maxConnectionAge: null },
  };
  /** How long after a token's end its connection is closed; null: never. */
  #tokenLeewayMs: number | null = null;
  #connections = 0;
  /** Of the turn that a new connection joins. */
  #joining = 0;
  #looking = 0;
  /** Runs while there are connections. */
  #timer: NodeJS.Timeout | null = null;

  constructor(options: KeepaliveOptions) {
    this.#options = options;
    this.#turns = Array.from({ length: TURNS }, () => ({
      watches: new Map(),
      lookedAtMs: 0,
      nowMs: 0,
      clientBytes: 0,
      backendBytes: 0,
    }));
  }

  /**
   * New timeouts count from the next look on, for what is open as well.
   *
   * @param tokenLeewayMs how long after a token's end its connection is closed; null: never
   */
  configure(timeouts: SweepSettings["timeouts"], tokenLeewayMs: number | null = null): void {
    this.#tokenLeewayMs = tokenLeewayMs;
    const { idle, ping, slowConsumer, maxConnectionAge } = timeouts;
    const times = [idle, ping?.interval, ping?.timeout, slowConsumer, maxConnectionAge?.max];
    const shortest = Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
    const periodMs = Math.min(Math.max(shortest / LOOKS_PER_TIMEOUT, MIN_PERIOD_MS), MAX_PERIOD_MS);
    const isOtherPeriod = periodMs !== this.#settings.periodMs;
    this.#settings = { periodMs, timeouts };
    if (!isOtherPeriod || this.#timer === null) return;
    this.#stopTimer();
    this.#startTimer();
  }

  start(connection: WatchedConnection): void {
    const watch = new ConnectionWatch(connection, this.#options);
    this.#turns[this.#joining]?.watches.set(connection, watch);
    this.#joining = (this.#joining + 1) % TURNS;
    this.#connections += 1;
    if (this.#timer === null) this.#startTimer();
  }

  stop(connection: WatchedConnection): void {
    if (!this.#turns.some(({ watches }) => watches.delete(connection))) return;
    this.#connections -= 1;
    if (this.#connections > 0) return;
    this.#stopTimer();
    for (const turn of this.#turns) turn.clientBytes = turn.backendBytes = 0;
    this.#tellBuffered();
  }

  #startTimer(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const turn of this.#turns) turn.lookedAtMs = nowMs;
    this.#timer = setInterval(() => this.#look(), this.#settings.periodMs / TURNS);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    const turn = this.#turns[this.#looking];
    this.#looking = (this.#looking + 1) % TURNS;
    if (turn === undefined) return;
    const { activity, clock, dateMs } = this.#options;
    const nowMs = clock.nowMs();
    const expiredMs = this.#tokenLeewayMs === null ? null : dateMs() - this.#tokenLeewayMs;
    const longestMs = MAX_PERIODS_PER_LOOK * this.#settings.periodMs;
    turn.nowMs += Math.min(nowMs - turn.lookedAtMs, longestMs);
    turn.lookedAtMs = nowMs;
    turn.clientBytes = 0;
    turn.backendBytes = 0;
    // In whole milliseconds: V8 keeps each fraction in an object of its own, and a connection has several.
    const lookMs = Math.floor(turn.nowMs);
    for (const watch of turn.watches.values()) {
      const seen = watch.look(lookMs, this.#settings, expiredMs);
      // Nothing waits for either side of it.
      if (seen === "passed over") continue;
      const { activityCell } = watch;
      if (seen === "active" && activityCell !== null) activity[activityCell] = nowMs;
      turn.clientBytes += watch.clientBufferedBytes;
      turn.backendBytes += watch.backendBufferedBytes;
    }
    this.#tellBuffered();
  }

  #tellBuffered(): void {
    let clientBytes = 0;
    let backendBytes = 0;
    for (const turn of this.#turns) {
      clientBytes += turn.clientBytes;
      backendBytes += turn.backendBytes;
    }
    this.#options.buffered.set(clientBytes, backendBytes);
  }
}
