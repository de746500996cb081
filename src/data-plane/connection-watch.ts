// One open connection, looked at now and then: ends it when a peer is dead or reads nothing, when nothing has
// happened for too long, and at its age.

import type { TimeoutsConfig } from "../config/schema-process.ts";
import type { Grant } from "../shared-memory/channel.ts";
import type { Connection } from "./connection.ts";
import { type PeerReader, PeerWatch, type PeerWriter } from "./peer-watch.ts";

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

export class ConnectionWatch {
  readonly #connection: WatchedConnection;
  readonly #client: PeerWatch;
  readonly #backend: PeerWatch;
  readonly #ageFactor = Math.random();
  #isNew = true;
  #ageMs = 0;
  #peerBytes = 0;
  /** Without a frame of either peer, while both were read. */
  #idleMs = 0;

  constructor(connection: WatchedConnection, onRoundTrip: RoundTripObserver, nowMs: () => number) {
    const { toBackend, toClient, grant } = connection;
    this.#connection = connection;
    this.#client = new PeerWatch({
      reader: toBackend,
      writer: toClient,
      masked: false,
      onRoundTrip: (ms) => onRoundTrip(grant, "client", ms),
      nowMs,
    });
    this.#backend = new PeerWatch({
      reader: toClient,
      writer: toBackend,
      masked: true,
      onRoundTrip: (ms) => onRoundTrip(grant, "backend", ms),
      nowMs,
    });
  }

  /** Bytes that wait for each side, as of the last look. */
  get clientBufferedBytes(): number {
    return this.#client.bufferedBytes;
  }

  get backendBufferedBytes(): number {
    return this.#backend.bufferedBytes;
  }

  /**
   * @param sinceLastMs since the last look at the connections of the same turn
   * @param expiredMs tokens that end by then are over; null: none is
   * @returns whether the client is heard of: by bytes, or because nobody listens to it at the moment
   */
  look(sinceLastMs: number, settings: SweepSettings, expiredMs: number | null): boolean {
    this.#client.lookBehind();
    this.#backend.lookBehind();
    const isClientActive = this.#client.isHeard || this.#client.isPaused;
    if (!this.#connection.isEnding) this.#judge(this.#isNew ? 0 : sinceLastMs, settings);
    if (!this.#connection.isEnding && this.#isExpired(expiredMs)) this.#connection.close("token_expired");
    this.#isNew = false;
    return isClientActive;
  }

  /** From its first Close or loss on, a connection's end has deadlines of its own. */
  #judge(elapsedMs: number, { periodMs, timeouts }: SweepSettings): void {
    const { ping, slowConsumer, idle, maxConnectionAge } = timeouts;
    const look = { elapsedMs, periodMs, ping, slowConsumerMs: slowConsumer };
    const client = this.#client.look(look);
    if (client !== "fine") {
      return this.#connection.abandon("client", client === "dead" ? "client_dead" : "slow_consumer");
    }
    if (this.#backend.look(look) !== "fine") return this.#connection.abandon("backend", "backend_lost");
    if (this.#isIdle(elapsedMs, idle)) return this.#connection.close("idle");
    this.#ageMs += elapsedMs;
    if (maxConnectionAge === null) return;
    const { max, jitter } = maxConnectionAge;
    if (this.#ageMs >= max * (1 - jitter * this.#ageFactor)) this.#connection.close("age");
  }

  /** By the date: a token's end may be many days away, and does not move when the thread is held up. */
  #isExpired(expiredMs: number | null): boolean {
    const { tokenExpiresAtMs } = this.#connection;
    return expiredMs !== null && tokenExpiresAtMs !== null && tokenExpiresAtMs <= expiredMs;
  }

  #isIdle(elapsedMs: number, idleMs: number | null): boolean {
    if (idleMs === null) {
      this.#idleMs = 0;
      return false;
    }
    const peerBytes = this.#connection.toBackend.peerBytes + this.#connection.toClient.peerBytes;
    if (peerBytes !== this.#peerBytes || this.#client.isPaused || this.#backend.isPaused) this.#idleMs = 0;
    else this.#idleMs += elapsedMs;
    this.#peerBytes = peerBytes;
    return this.#idleMs >= idleMs;
  }
}
