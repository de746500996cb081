// Tells somebody of the frames that a pipe reads: facts of their headers, never payload, and what is done with
// them. It steps over the same bytes again, so that a pipe that nobody looks at does nothing for it.

import type { OnExceed } from "../config/schema-limits.ts";
import type { FrameFate } from "../shared-memory/tapped-frame.ts";
import { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";
import type { ChunkRest } from "./chunk-reading.ts";
import type { LimitName } from "./message-gate.ts";

/** What is done with it, and by which limit, may still change until the chunk that it came in is dealt with. */
export interface TappedFrame {
  /** Since the epoch. */
  readonly timeMs: number;
  readonly opcode: number;
  readonly fin: boolean;
  /** Bytes of payload on the wire. */
  readonly length: number;
  /** Its message is compressed. */
  readonly compressed: boolean;
  done: FrameFate;
  limit: TappedLimit | null;
}

/** What is not in order: a message too many for the tier or the route, or one too large. */
export type TappedLimit = LimitName | "limits.maxMessageSize";

export type FrameSink = (frame: TappedFrame) => void;

const FATE_BY_ACTION = {
  delay: "delayed",
  drop: "dropped",
  close: "refused",
  log: "passed",
} as const satisfies Record<OnExceed, FrameFate>;

export class PipeTap {
  readonly #scanner: FrameScanner;
  readonly #sink: FrameSink;
  /** Of the bytes that were read last. */
  #frames: TappedFrame[] = [];
  #isCompressed = false;
  /** The message in progress is not passed on. */
  #isDropping = false;
  /** By this limit. */
  #droppingLimit: LimitName | null = null;

  /** @param at the pipe's own scanner, between two chunks */
  constructor(at: FrameScanner, sink: FrameSink) {
    this.#scanner = new FrameScanner(at.options);
    this.#scanner.copyFrom(at);
    this.#sink = sink;
  }

  /** @param to what was read ends here, and `stop` says why */
  onRead(bytes: Buffer, to: number, stop: ChunkRest["stop"]): void {
    const timeMs = Date.now();
    const read = bytes.subarray(0, to);
    this.#frames = [];
    let at = 0;
    while (at < to) {
      at = this.#scanner.next(read, at);
      if (!this.#scanner.frameReady) break;
      this.#frames.push(this.#frameAt(timeMs));
    }
    const last = this.#frames.at(-1);
    if (last !== undefined && stop === "own pong") last.done = "consumed";
    if (last !== undefined && stop === "too big") this.#mark(last, "refused", "limits.maxMessageSize");
    for (const frame of this.#frames) this.#sink(frame);
  }

  /** The last `messages` of what was read came above a limit. */
  onLimited(action: OnExceed, messages: number, limit: LimitName | null): void {
    const starts = this.#frames.flatMap(({ opcode }, index) => (isMessageStart(opcode) ? [index] : []));
    const from = starts.at(-messages) ?? 0;
    for (const frame of this.#frames.slice(from)) {
      // A control frame waits behind what waits, and goes on without what is dropped.
      const isConcerned = frame.opcode < Opcode.close || action === "delay" || action === "close";
      if (isConcerned) this.#mark(frame, FATE_BY_ACTION[action], limit);
    }
    this.#isDropping = action === "drop";
    this.#droppingLimit = limit;
  }

  /** What waits of that will never go on. */
  onWaitRefused(): void {
    for (const frame of this.#frames) if (frame.done === "delayed") frame.done = "refused";
  }

  /** Nothing is passed on any more, and the peer's Close has come. */
  onLateClose(length: number): void {
    this.#sink({
      timeMs: Date.now(),
      opcode: Opcode.close,
      fin: true,
      length,
      compressed: false,
      done: "consumed",
      limit: null,
    });
  }

  #frameAt(timeMs: number): TappedFrame {
    const { opcode, fin, payloadLength: length, rsv1 } = this.#scanner;
    if (isMessageStart(opcode)) {
      this.#isCompressed = rsv1;
      this.#isDropping = false;
    }
    const isData = opcode < Opcode.close;
    const isDropped = isData && this.#isDropping;
    return {
      timeMs,
      opcode,
      fin,
      length,
      compressed: isData && this.#isCompressed,
      done: isDropped ? "dropped" : "passed",
      limit: isDropped ? this.#droppingLimit : null,
    };
  }

  #mark(frame: TappedFrame, done: FrameFate, limit: TappedLimit | null): void {
    frame.done = done;
    frame.limit = limit;
  }
}

function isMessageStart(opcode: number): boolean {
  return opcode === Opcode.text || opcode === Opcode.binary;
}
