// One open connection, looked at now and then: ends it when a peer is dead or reads nothing, when nothing has
// happened for too long, and at its age.

import type { TimeoutsConfig } from "../config/schema-process.ts";
import type { Grant } from "../shared-memory/channel.ts";
import type { SharedClock } from "../shared-memory/clock.ts";
import type { Connection } from "./connection.ts";
import { type PeerReader, PeerWatch, type PeerWatchOwner, type PeerWriter } from "./peer-watch.ts";

/** What is asked of a connection. */
export type WatchedConnection = Pick<Connection, "isEnding" | "tokenExpiresAtMs" | "close" | "abandon"> & {
  readonly grant: Pick<Grant, "activityCell" | "pool" | "backend">;
  readonly toBackend: PeerReader & PeerWriter & { readonly peerBytes: number };
  readonly toClient: PeerReader & PeerWriter & { readonly peerBytes: number };
};

export type RoundTripObserver = (
  grant: Pick<Grant, "pool" | "backend">,
  side: "client" | "backend",
  roundTripMs: number,
) => void;

export interface SweepSettings {
  /** Between looks, as a rule. */
  readonly periodMs: number;
  readonly timeouts: Pick<TimeoutsConfig, "idle" | "ping" | "slowConsumer" | "maxConnectionAge">;
}

/** Of all connections. */
export interface ConnectionWatchOptions {
  readonly onRoundTrip: RoundTripObserver;
  readonly clock: Pick<SharedClock, "nowMs">;
}

export class ConnectionWatch implements PeerWatchOwner {
  readonly #connection: WatchedConnection;
  readonly #options: ConnectionWatchOptions;
  readonly #client: PeerWatch;
  readonly #backend: PeerWatch;
  /** How much of each jitter it has, of its age as of its pings: the two of a silent connection leave in one look. */
  readonly #jitter = Math.random();
  readonly #toBackend: PeerReader;
  readonly #toClient: PeerReader;
  /**
   * Until when nothing can come of a look while nothing is read of either side. Most connections are silent most
   * of the time, and a look at all that there is of one costs far more than to see that it is.
   */
  #calmUntilMs = 0;
  #bytesRead = 0;
  #settings: SweepSettings | null = null;
  /** Null before the first look. */
  #lookedAtMs: number | null = null;
  #expiresAtMs = Number.POSITIVE_INFINITY;
  #ageMs = 0;
  #peerBytes = 0;
  /** Without a frame of either peer, while both were read. */
  #idleMs = 0;

  constructor(connection: WatchedConnection, options: ConnectionWatchOptions) {
    const { toBackend, toClient } = connection;
    this.#connection = connection;
    this.#options = options;
    this.#toBackend = toBackend;
    this.#toClient = toClient;
    this.#client = new PeerWatch({ side: "client", reader: toBackend, writer: toClient, owner: this });
    this.#backend = new PeerWatch({ side: "backend", reader: toClient, writer: toBackend, owner: this });
  }

  /** Where the client's last sign of life is told; null where nobody asks. */
  get activityCell(): number | null {
    return this.#connection.grant.activityCell;
  }

  /** Bytes that wait for each side, as of the last look. */
  get clientBufferedBytes(): number {
    return this.#client.bufferedBytes;
  }

  get backendBufferedBytes(): number {
    return this.#backend.bufferedBytes;
  }

  onRoundTrip(side: "client" | "backend", roundTripMs: number): void {
    this.#options.onRoundTrip(this.#connection.grant, side, roundTripMs);
  }

  nowMs(): number {
    return this.#options.clock.nowMs();
  }

  /**
   * @param nowMs on the clock of the looks at connections of the same turn
   * @param expiredMs tokens that end by then are over; null: none is
   * @returns `active` where the client is heard of: by bytes, or because nobody listens to it at the moment;
   *   `passed over` where no look was needed, and no data waits for either side
   */
  look(
    nowMs: number,
    settings: SweepSettings,
    expiredMs: number | null,
  ): "passed over" | "silent" | "active" {
    const bytesRead = this.#toBackend.bytesRead + this.#toClient.bytesRead;
    const isCalm = nowMs < this.#calmUntilMs && bytesRead === this.#bytesRead && settings === this.#settings;
    if (isCalm && (expiredMs === null || expiredMs < this.#expiresAtMs)) return "passed over";
    const elapsedMs = nowMs - (this.#lookedAtMs ?? nowMs);
    this.#lookedAtMs = nowMs;
    this.#settings = settings;
    this.#bytesRead = bytesRead;
    this.#calmUntilMs = 0;
    this.#client.lookBehind();
    this.#backend.lookBehind();
    const isClientActive = this.#client.isHeard || this.#client.isPaused;
    if (!this.#connection.isEnding) this.#calmUntilMs = nowMs + this.#judge(elapsedMs, settings);
    this.#expiresAtMs = this.#connection.tokenExpiresAtMs ?? Number.POSITIVE_INFINITY;
    if (!this.#connection.isEnding && expiredMs !== null && expiredMs >= this.#expiresAtMs) {
      this.#connection.close("token_expired");
    }
    return isClientActive ? "active" : "silent";
  }

  /**
   * From its first Close or loss on, a connection's end has deadlines of its own.
   *
   * @returns for how long nothing can come of a look while nothing is read of either side
   */
  #judge(elapsedMs: number, { periodMs, timeouts }: SweepSettings): number {
    const { ping, slowConsumer, idle, maxConnectionAge } = timeouts;
    const look = {
      elapsedMs,
      periodMs,
      ping,
      earliness: this.#jitter,
      slowConsumerMs: slowConsumer,
    };
    const client = this.#client.look(look);
    if (client !== "fine") {
      this.#connection.abandon("client", client === "dead" ? "client_dead" : "slow_consumer");
      return 0;
    }
    if (this.#backend.look(look) !== "fine") {
      this.#connection.abandon("backend", "backend_lost");
      return 0;
    }
    const idleLeftMs = this.#idleLeftMs(elapsedMs, idle);
    const lifeLeftMs = this.#lifeLeftMs(elapsedMs, maxConnectionAge);
    if (idleLeftMs <= 0) this.#connection.close("idle");
    else if (lifeLeftMs <= 0) this.#connection.close("age");
    const peersCalmMs = Math.min(this.#client.calmMs(look), this.#backend.calmMs(look));
    return Math.max(0, Math.min(peersCalmMs, idleLeftMs, lifeLeftMs));
  }

  #lifeLeftMs(elapsedMs: number, age: TimeoutsConfig["maxConnectionAge"]): number {
    this.#ageMs += elapsedMs;
    if (age === null) return Number.POSITIVE_INFINITY;
    return age.max * (1 - age.jitter * this.#jitter) - this.#ageMs;
  }

  #idleLeftMs(elapsedMs: number, idleMs: number | null): number {
    if (idleMs === null) {
      this.#idleMs = 0;
      return Number.POSITIVE_INFINITY;
    }
    const peerBytes = this.#connection.toBackend.peerBytes + this.#connection.toClient.peerBytes;
    if (peerBytes !== this.#peerBytes || this.#client.isPaused || this.#backend.isPaused) this.#idleMs = 0;
    else this.#idleMs += elapsedMs;
    this.#peerBytes = peerBytes;
    return idleMs - this.#idleMs;
  }
}
