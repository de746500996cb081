// Holds a client's messages to the limits of its user: what conforms goes on, the rest is delayed, dropped,
// ends the connection, or is only counted. Decided per message at its first frame, once a chunk.

import type { OnExceed } from "../config/schema-limits.ts";
import { type Bucket, takeBoth } from "../shared-memory/gcra.ts";
import type { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";

const NS_PER_MS = 1e6;
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What a gate lets through, and whom it tells; the pipe and its connection. */
export interface GateOwner {
  /** Bytes that go on: whole frames, or the part of one that a chunk holds. */
  forward(bytes: Buffer, messages: number): void;
  pauseSource(): void;
  resumeSource(): void;
  /** So many messages came above the limit; `retryAfterMs` says when the next one would conform. */
  onLimited(action: OnExceed, messages: number, retryAfterMs: number): void;
  /** A message was let through after this wait. */
  onDelayed(delayMs: number): void;
  /** All that was held back of a chunk has gone on. */
  onHeldPassed(): void;
  /** The connection must end: a limit says `close`, or a wait would be longer than `maxDelay`. */
  onRateExceeded(): void;
}

/** Whose bucket it is: the tier's or the route's. */
export type LimitName = "tier" | "route";

export interface GateLimits {
  /** The tier's bucket, the route's, or both. */
  readonly messages: readonly Bucket[];
  /** Whose each of them is. */
  readonly names: readonly LimitName[];
  /** The tier's bytes; they are charged as they pass. */
  readonly bytes: Bucket | null;
  readonly onExceed: OnExceed;
  readonly maxDelayMs: number;
}

export const UNLIMITED: GateLimits = { messages: [], names: [], bytes: null, onExceed: "log", maxDelayMs: 0 };

/** The frames of one chunk, as the pipe has read them. */
export interface ReadFrames {
  readonly bytes: Buffer;
  /** Where what was read of it ends. */
  readonly end: number;
  /** Offset of each message's first frame; the first `messages` count. */
  readonly starts: Int32Array;
  readonly messages: number;
}

/** The rest of a chunk that waits for its tokens, message by message. */
interface Held {
  readonly bytes: Buffer;
  readonly starts: Int32Array;
  readonly sinceMs: number;
  next: number;
}

export class MessageGate {
  readonly #owner: GateOwner;
  /** Nanoseconds on the clock of the buckets. */
  readonly #nowNs: () => number;
  readonly #scanAgain: FrameScanner;
  #limits: GateLimits;
  #held: Held | null = null;
  /** Where the message that waits has its reservation; a reload meanwhile does not move it. */
  #reservedIn: readonly Bucket[] = [];
  /** Until the next token. */
  #timer: NodeJS.Timeout | null = null;
  /** Until the debt of bytes is paid. */
  #debtTimer: NodeJS.Timeout | null = null;
  /** The message at hand is being dropped: none of its frames goes on. */
  #isDropping = false;

  /** @param scanAgain a scanner of its own, like the pipe's, to find control frames in what is dropped */
  constructor(owner: GateOwner, limits: GateLimits, scanAgain: FrameScanner, nowNs: () => number) {
    this.#owner = owner;
    this.#limits = limits;
    this.#scanAgain = scanAgain;
    this.#nowNs = nowNs;
  }

  /** True where the sink stands at a frame boundary although the source is in the middle of a frame. */
  get isHoldingBack(): boolean {
    return this.#held !== null || this.#isDropping;
  }

  /** How long it takes until all that waits has its tokens, if nobody else takes any; infinite where nothing does. */
  get heldMs(): number {
    if (this.#held === null) return Number.POSITIVE_INFINITY;
    const nowNs = this.#nowNs();
    // The first of them has its reservation, behind which the others queue.
    const others = this.#held.starts.length - this.#held.next - 1;
    let waitNs = 0;
    for (const bucket of this.#reservedIn) waitNs = Math.max(waitNs, bucket.waitNs(others, nowNs));
    return waitNs / NS_PER_MS;
  }

  /** The source is not read until tokens have come. */
  get isWaiting(): boolean {
    return this.#held !== null || this.#debtTimer !== null;
  }

  /** The limit that keeps the next message waiting longest; null for none. */
  get exceeded(): LimitName | null {
    const nowNs = this.#nowNs();
    let longestNs = 0;
    let exceeded: LimitName | null = null;
    for (const [index, bucket] of this.#limits.messages.entries()) {
      const waitNs = bucket.waitNs(1, nowNs);
      if (waitNs <= longestNs) continue;
      longestNs = waitNs;
      exceeded = this.#limits.names[index] ?? null;
    }
    return exceeded;
  }

  /** New limits count from the next message on; one that waits goes on waiting for its reservation. */
  changeLimits(limits: GateLimits): void {
    this.#limits = limits;
    // A debt of bytes may have been cut or lifted: what is left of it is found at the next bytes.
    if (this.#debtTimer !== null) this.#endDebt();
  }

  /** Before a chunk is read: remembers where in the stream it begins, should parts of it be dropped. */
  beforeChunk(scanner: FrameScanner): void {
    if (this.#isDropping) this.#scanAgain.copyFrom(scanner);
  }

  /**
   * Lets through what may go. `held`: the rest follows by itself, then `onHeldPassed` is called; `ended`:
   * the connection is being closed.
   */
  pass(frames: ReadFrames, isInsideMessage: boolean): "passed" | "held" | "ended" {
    const { bytes, end, messages } = frames;
    const nowNs = this.#nowNs();
    const from = this.#isDropping ? this.#passRestOfDropped(frames) : 0;
    const conforming = messages === 0 ? 0 : this.#take(messages, nowNs);
    if (conforming === messages) {
      this.#forward(bytes, from, end, messages);
      return "passed";
    }
    const action = this.#limits.onExceed;
    this.#owner.onLimited(action, messages - conforming, this.#waitMs(1, nowNs));
    if (action === "log") {
      this.#forward(bytes, from, end, messages);
      return "passed";
    }
    const cut = frames.starts[conforming] ?? end;
    this.#forward(bytes, from, cut, conforming);
    if (action === "drop") {
      this.#scanAgain.reset();
      this.#passControlFrames(bytes, cut, end);
      this.#isDropping = isInsideMessage;
      return "passed";
    }
    const waiting = messages - conforming;
    if (action === "close" || this.#waitMs(waiting, nowNs) > this.#limits.maxDelayMs) {
      this.#owner.onRateExceeded();
      return "ended";
    }
    this.#hold(frames, conforming);
    // Tokens may have come while this was decided.
    return this.#held === null ? "passed" : "held";
  }

  /** Gives back what is reserved, and forgets what is held. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#debtTimer !== null) clearTimeout(this.#debtTimer);
    this.#timer = null;
    this.#debtTimer = null;
    if (this.#held === null) return;
    this.#held = null;
    for (const bucket of this.#reservedIn) bucket.unreserve(1);
  }

  #take(n: number, nowNs: number): number {
    const [first, second] = this.#limits.messages;
    if (first === undefined) return n;
    return second === undefined ? first.take(n, nowNs) : takeBoth(first, second, n, nowNs);
  }

  /** How long it takes until `n` tokens are there, if nobody else takes any. */
  #waitMs(n: number, nowNs: number): number {
    let waitNs = 0;
    for (const bucket of this.#limits.messages) waitNs = Math.max(waitNs, bucket.waitNs(n, nowNs));
    return waitNs / NS_PER_MS;
  }

  /** What is held is no larger than one read, and reading stops: that bounds the memory. */
  #hold({ bytes, end, starts, messages }: ReadFrames, conforming: number): void {
    const from = starts[conforming] ?? 0;
    this.#owner.pauseSource();
    this.#held = {
      bytes: bytes.subarray(from, end),
      starts: starts.slice(conforming, messages).map((start) => start - from),
      sinceMs: performance.now(),
      next: 0,
    };
    this.#reserveNext();
  }

  /** Messages go one by one, so that no connection of a user waits behind all that another one sent. */
  #reserveNext(): void {
    // A timer is there already where what was let through has brought the next frames to hold with it.
    for (let held = this.#held; held !== null && this.#timer === null; held = this.#held) {
      const nowNs = this.#nowNs();
      let waitNs = 0;
      this.#reservedIn = this.#limits.messages;
      for (const bucket of this.#reservedIn) waitNs = Math.max(waitNs, bucket.reserve(1, nowNs));
      // Other connections of the user may have reserved before this one.
      if (waitNs / NS_PER_MS > this.#limits.maxDelayMs) return this.#owner.onRateExceeded();
      if (waitNs > 0) {
        this.#timer = setTimeout(() => this.#onToken(), timerMs(waitNs));
        return;
      }
      this.#passNext(held);
    }
  }

  #onToken(): void {
    this.#timer = null;
    const nowNs = this.#nowNs();
    for (const bucket of this.#reservedIn) bucket.goOn(nowNs);
    if (this.#held !== null) this.#passNext(this.#held);
    this.#reserveNext();
  }

  #passNext(held: Held): void {
    const from = held.starts[held.next] ?? 0;
    held.next += 1;
    const isLast = held.next === held.starts.length;
    const end = isLast ? held.bytes.length : (held.starts[held.next] ?? held.bytes.length);
    if (isLast) this.#held = null;
    this.#owner.onDelayed(performance.now() - held.sinceMs);
    this.#forward(held.bytes, from, end, 1);
    if (!isLast) return;
    this.#owner.onHeldPassed();
    if (!this.isWaiting) this.#owner.resumeSource();
  }

  /** Bytes are charged as they pass. A connection above its own is not read until the debt is paid. */
  #charge(count: number): void {
    const { bytes } = this.#limits;
    if (bytes === null) return;
    const waitNs = bytes.charge(count, this.#nowNs());
    if (waitNs === 0 || this.#debtTimer !== null) return;
    this.#owner.pauseSource();
    this.#debtTimer = setTimeout(() => {
      bytes.goOn(this.#nowNs());
      this.#endDebt();
    }, timerMs(waitNs));
  }

  #endDebt(): void {
    if (this.#debtTimer !== null) clearTimeout(this.#debtTimer);
    this.#debtTimer = null;
    if (!this.isWaiting) this.#owner.resumeSource();
  }

  /** Steps over the end of a message whose beginning was dropped; returns where the next one begins. */
  #passRestOfDropped({ bytes, end, starts, messages }: ReadFrames): number {
    const to = messages > 0 ? (starts[0] ?? end) : end;
    this.#passControlFrames(bytes, 0, to);
    this.#isDropping = messages === 0 && !this.#scanAgain.isAtMessageBoundary;
    return to;
  }

  /** RFC 6455 §5.5: a control frame may sit between the fragments of a message, and goes on without it. */
  #passControlFrames(bytes: Buffer, from: number, to: number): void {
    const region = bytes.subarray(0, to);
    let at = from;
    while (at < to) {
      const next = this.#scanAgain.next(region, at);
      if (!this.#scanAgain.frameReady) break;
      if (this.#scanAgain.opcode >= Opcode.close) this.#forward(bytes, this.#scanAgain.frameStart, next, 0);
      at = next;
    }
  }

  #forward(bytes: Buffer, from: number, to: number, messages: number): void {
    if (from === to) return;
    this.#owner.forward(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), messages);
    this.#charge(to - from);
  }
}

/** Whole milliseconds, not before the time, and no more than a timer can take. */
function timerMs(waitNs: number): number {
  return Math.min(Math.ceil(waitNs / NS_PER_MS), MAX_TIMER_MS);
}
