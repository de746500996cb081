// Weir's own pings to one peer: their payloads, which of its pongs answer them, and how long that took.

import type { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";
import { nextRandomWord } from "./random-words.ts";

const PING_PAYLOAD_BYTES = 8;

export interface PingOwner {
  onRoundTrip(roundTripMs: number): void;
  /** Monotonic; read once for a ping and once for its pong. */
  nowMs(): number;
}

export class OwnPings {
  /** Of the last ping that was answered and could be timed. */
  lastRoundTripMs: number | null = null;
  readonly #owner: PingOwner;
  /** All payloads begin with these 32 bits; the others count up from a random number too. */
  readonly #head: number;
  readonly #base: number;
  #sent = 0;
  /** The number of the ping that was answered last. */
  #answered = 0;
  /** When the last ping was flushed; null as long as its answer could not be timed. */
  #flushedAtMs: number | null = null;

  constructor(owner: PingOwner) {
    this.#owner = owner;
    this.#head = nextRandomWord().readUInt32BE();
    this.#base = nextRandomWord().readUInt32BE();
  }

  nextPayload(): Buffer {
    this.#sent += 1;
    this.#flushedAtMs = null;
    const payload = Buffer.allocUnsafe(PING_PAYLOAD_BYTES);
    payload.writeUInt32BE(this.#head, 0);
    payload.writeUInt32BE((this.#base + this.#sent) >>> 0, 4);
    return payload;
  }

  /** The last ping has left for the peer. */
  onFlushed(): void {
    this.#flushedAtMs = this.#owner.nowMs();
  }

  /** Reading the peer pauses: a pong that waits meanwhile says nothing of the way that it took. */
  forgetTime(): void {
    this.#flushedAtMs = null;
  }

  /**
   * Whether a pong with this payload answers a ping of ours. Each does so once, and RFC 6455 §5.5.3 lets
   * a peer leave out all but the last: what comes twice, or late, is the peer's own affair.
   */
  takePong(payload: Buffer): boolean {
    if (payload.length !== PING_PAYLOAD_BYTES || payload.readUInt32BE(0) !== this.#head) return false;
    const number = (payload.readUInt32BE(4) - this.#base) >>> 0;
    if (number <= this.#answered || number > this.#sent) return false;
    this.#answered = number;
    if (number === this.#sent && this.#flushedAtMs !== null) {
      this.lastRoundTripMs = this.#owner.nowMs() - this.#flushedAtMs;
      this.#owner.onRoundTrip(this.lastRoundTripMs);
    }
    return true;
  }
}

/** Whether the control frame just ready in `bytes` answers a ping of ours, and has to end here. */
export function takeOwnPong(ownPings: OwnPings | null, scanner: FrameScanner, bytes: Buffer): boolean {
  if (ownPings === null || scanner.opcode !== Opcode.pong) return false;
  return scanner.payloadLength === PING_PAYLOAD_BYTES && ownPings.takePong(scanner.controlPayload(bytes));
}
