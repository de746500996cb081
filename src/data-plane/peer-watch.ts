// One peer of a connection, looked at now and then: whether it is silent, and is pinged for that; whether it
// answers; and whether it reads what waits for it. It keeps durations between looks, and no clock.

import type { PingConfig } from "../config/schema-process.ts";
import { buildFrame } from "../ws/frame-builder.ts";
import { Opcode } from "../ws/protocol.ts";
import { OwnPings, type PingOwner } from "./own-pings.ts";
import type { Pipe } from "./pipe.ts";
import { nextRandomWord } from "./random-words.ts";
import { unsentBytes } from "./unsent-bytes.ts";

/** Pings leave this much of their interval early at most, so that those of many connections spread. */
const JITTER = 0.1;

/** How late a chain of looks can make the verdict on a silent peer: heard of, due, flushed and out of time. */
const LOOKS_TO_A_VERDICT = 4;

/** The pipe that reads the peer. */
export type PeerReader = Pick<Pipe, "bytesRead" | "isPaused" | "ownPings">;

/** The pipe that writes to it. */
export type PeerWriter = Pick<Pipe, "ping"> & {
  readonly writer: { readonly bytes: number; readonly socket: { readonly writableLength: number } };
};

export interface PeerWatchOptions {
  readonly side: "client" | "backend";
  readonly reader: PeerReader;
  readonly writer: PeerWriter;
  readonly owner: PeerWatchOwner;
}

export interface PeerWatchOwner {
  onRoundTrip(side: "client" | "backend", roundTripMs: number): void;
  nowMs(): number;
}

export interface Look {
  /** Since the last look; 0 at the first one. */
  readonly elapsedMs: number;
  /** Between looks, as a rule. */
  readonly periodMs: number;
  readonly ping: PingConfig | null;
  /** How early pings leave, from 0 to 1: as early as those of many connections may. */
  readonly earliness: number;
  readonly slowConsumerMs: number | null;
}

/** `dead`: it answers no ping; `stuck`: it reads nothing. */
export type PeerVerdict = "fine" | "dead" | "stuck";

/**
 * - `none`: nothing is asked of the peer.
 * - `unsent`: a Ping waits for the end of a frame, or for the kernel to take it.
 * - `flushed`: it has left since the last look.
 * - `awaited`: the peer has to show a sign of life; its time runs.
 */
type PingState = "none" | "unsent" | "flushed" | "awaited";

export class PeerWatch implements PingOwner {
  // Each on its own, without closures: there are two of these for each connection.
  readonly #side: "client" | "backend";
  readonly #reader: PeerReader;
  readonly #writer: PeerWriter;
  readonly #owner: PeerWatchOwner;
  #bytesRead = 0;
  /** Since the peer was heard of or pinged. */
  #quietMs = 0;
  #sincePingMs = 0;
  #state: PingState = "none";
  /** Without a sign of life that was asked for, while the peer was read and could be written to. */
  #silentMs = 0;
  #bytesWritten = -1;
  /** What waits for the peer to take it. */
  #bufferedBytes = 0;
  #taken = Number.NEGATIVE_INFINITY;
  #unsent = 0;
  /** Without a byte that the peer took, while some waited. */
  #stuckMs = 0;

  constructor({ side, reader, writer, owner }: PeerWatchOptions) {
    this.#side = side;
    this.#reader = reader;
    this.#writer = writer;
    this.#owner = owner;
  }

  get isPaused(): boolean {
    return this.#reader.isPaused;
  }

  /** Whether anything was read from the peer since the last look. */
  get isHeard(): boolean {
    return this.#reader.bytesRead !== this.#bytesRead;
  }

  /** As of the last `lookBehind`. */
  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  get #isBehind(): boolean {
    return this.#bufferedBytes > 0;
  }

  /** After `lookBehind`. */
  look(look: Look): PeerVerdict {
    if (!this.#isBehind) this.#stuckMs = 0;
    else if (this.#isStuck(look)) return "stuck";
    this.#quietMs += look.elapsedMs;
    this.#sincePingMs += look.elapsedMs;
    if (this.isHeard) this.#onHeard();
    else if (this.#isDead(look)) return "dead";
    if (look.ping !== null && !this.#isBehind) this.#pingWhereDue(look.ping, look);
    return "fine";
  }

  /** After `look`: for how long no look is needed, as long as nothing is read of the peer nor written to it. */
  calmMs(look: Look): number {
    if (this.#isBehind || this.isPaused || this.#state !== "none") return 0;
    if (look.ping === null) return Number.POSITIVE_INFINITY;
    const quietLeftMs = this.#dueMs(look.ping, look) - this.#quietMs;
    return Math.min(quietLeftMs, this.#sampleDueMs(look.ping, look) - this.#sincePingMs);
  }

  /** How much data waits for the peer. Of one that was sent nothing it is known without a look at its socket. */
  lookBehind(): void {
    const { bytes, socket } = this.#writer.writer;
    if (bytes === this.#bytesWritten && !this.#isBehind) return;
    this.#bytesWritten = bytes;
    this.#bufferedBytes = socket.writableLength;
  }

  onRoundTrip(roundTripMs: number): void {
    this.#owner.onRoundTrip(this.#side, roundTripMs);
  }

  nowMs(): number {
    return this.#owner.nowMs();
  }

  #onHeard(): void {
    this.#bytesRead = this.#reader.bytesRead;
    this.#quietMs = 0;
    this.#silentMs = 0;
    // A Ping that has not left yet asks for its own sign of life.
    if (this.#state !== "unsent") this.#state = "none";
  }

  #isDead({ elapsedMs, ping }: Look): boolean {
    if (ping === null) {
      this.#silentMs = 0;
      return false;
    }
    if (this.#state === "flushed") this.#state = "awaited";
    // What Weir does not read may be a sign of life, and a peer that is behind may not have seen the Ping.
    else if (this.#state === "awaited" && !this.#isBehind && !this.isPaused) this.#silentMs += elapsedMs;
    return this.#silentMs >= ping.timeout;
  }

  /** Early enough that a peer that vanishes is found within interval and timeout. */
  #dueMs({ interval }: PingConfig, { periodMs, earliness }: Look): number {
    const early = earliness * JITTER * interval + LOOKS_TO_A_VERDICT * periodMs;
    return Math.max(interval - early, interval / 2);
  }

  /**
   * Asks for a sign of life, also where one is awaited: a peer that Weir does not read shows only by a write that
   * it is gone. One that talks is pinged as well, as its pongs tell how long the way is, but owes nothing for it.
   */
  #pingWhereDue(ping: PingConfig, look: Look): void {
    if (this.#state === "unsent") return;
    const isQuiet = this.#quietMs >= this.#dueMs(ping, look);
    if (!isQuiet && this.#sincePingMs < this.#sampleDueMs(ping, look)) return;
    if (isQuiet) this.#quietMs = 0;
    if (isQuiet && this.#state === "none") this.#state = "unsent";
    this.#ping();
  }

  #sampleDueMs({ interval }: PingConfig, { earliness }: Look): number {
    return interval * (1 - earliness * JITTER);
  }

  #ping(): void {
    const pings = (this.#reader.ownPings ??= new OwnPings(this));
    this.#sincePingMs = 0;
    // Towards a server, every frame is masked (RFC 6455 §5.3).
    const maskingKey = this.#side === "backend" ? nextRandomWord() : null;
    const frame = buildFrame({ opcode: Opcode.ping, payload: pings.nextPayload(), maskingKey });
    this.#writer.ping(frame, () => {
      if (!this.isPaused) pings.onFlushed();
      if (this.#state === "unsent") this.#state = "flushed";
    });
  }

  #isStuck({ elapsedMs, slowConsumerMs }: Look): boolean {
    const { bytes, socket } = this.#writer.writer;
    const taken = bytes - socket.writableLength;
    const unsent = unsentBytes(socket);
    if (taken > this.#taken || unsent < this.#unsent) {
      this.#taken = taken;
      this.#unsent = unsent;
      this.#stuckMs = 0;
      return false;
    }
    this.#stuckMs += elapsedMs;
    return slowConsumerMs !== null && this.#stuckMs >= slowConsumerMs;
  }
}
