// One direction of a relay: reads a socket's frames and passes the same bytes on to the other one.
// Policy and the story of the whole connection are its owner's; a pipe only tells it what it met.

import type { Socket } from "node:net";
import { parseClosePayload } from "../ws/close.ts";
import type { OnExceed } from "../config/schema-limits.ts";
import { FrameScanner, type FrameScannerOptions } from "../ws/frame-scanner.ts";
import { Opcode } from "../ws/protocol.ts";
import { ControlFrameLimit, type ControlFrameRate } from "./control-frame-limit.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type GateLimits, type GateOwner, MessageGate } from "./message-gate.ts";
import type { PipeOwner } from "./pipe-owner.ts";
import { countRead } from "./read-garbage.ts";

/** Where one direction's figures are counted: indices into the thread's counter cells. */
interface PipeCounters {
  readonly cells: Float64Array;
  readonly messages: number;
  readonly bytes: number;
}

interface PipeOptions {
  readonly owner: PipeOwner;
  readonly source: Socket;
  readonly sink: Socket;
  readonly masked: boolean;
  readonly reservedBits: number;
  readonly counters: PipeCounters;
}

/** What the source of a pipe is held to. */
export interface SourceLimits {
  /** Null for no limit. */
  readonly messages: GateLimits | null;
  /** Bytes of payload on the wire, summed over fragments; Infinity for no limit. */
  readonly maxMessageBytes: number;
  /** Null for no limit. */
  readonly controlFrames: ControlFrameRate | null;
}

/** Why reading a chunk stopped: at its end, behind a Close, or before a message that is too big. */
type ChunkStop = "end" | "close" | "too big";

interface ChunkRest {
  readonly bytes: Buffer;
  /** Where reading it stopped. */
  readonly at: number;
  readonly stop: ChunkStop;
}

const UNLIMITED: GateLimits = { messages: [], bytes: null, onExceed: "log", maxDelayMs: 0 };

/**
 * Offsets of the messages of the chunk at hand; one array for all pipes of the thread, since a chunk is
 * dealt with at once. A frame takes 2 bytes at least, and a read is no more than 64 KiB and a carry; what
 * a client sends before its 101 may be twice as much, but its frames take 6.
 */
const messageStarts = new Int32Array(33_000);

/**
 * - `relaying`: bytes go through.
 * - `finishing`: our Close waits until the data frame in flight has gone through whole.
 * - `discarding`: nothing more goes through; reading on for the source's Close.
 * - `ended`: the source has sent its Close, ended, or broken the protocol; its bytes mean nothing now.
 */
type PipeState = "relaying" | "finishing" | "discarding" | "ended";

export class Pipe implements GateOwner {
  readonly owner: PipeOwner;
  readonly source: Socket;
  readonly writer: FrameWriter;
  /** Messages begun and wire bytes passed on. */
  messages = 0;
  bytes = 0;
  /** The source's Close, once it was read: 1005 where it was empty. */
  closeReceived: { readonly code: number; readonly reason: string } | null = null;
  readonly #scanner: FrameScanner;
  readonly #counters: PipeCounters;
  #maxMessageBytes = Number.POSITIVE_INFINITY;
  #controlFrames: ControlFrameLimit | null = null;
  readonly #scannerOptions: FrameScannerOptions;
  #gate: MessageGate | null = null;
  /** What is left to do with the chunk at hand once the gate has let all of it through. */
  #afterHeld: ChunkRest | null = null;
  /** The source's FIN has come while a part of what it sent is held back. */
  #endsAfterHeld = false;
  #waitingText: Buffer | null = null;
  #state: PipeState = "relaying";
  #waitingClose: Buffer | null = null;

  constructor(options: PipeOptions) {
    this.owner = options.owner;
    this.source = options.source;
    this.writer = new FrameWriter(options.sink);
    this.#scannerOptions = { masked: options.masked, reservedBits: options.reservedBits };
    this.#scanner = new FrameScanner(this.#scannerOptions);
    this.#counters = options.counters;
  }

  /** Nothing that the source sends means anything any more. */
  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** True where the sink has got a part of a frame only; it cannot be sent a Close then. */
  get isInsideFrame(): boolean {
    return (
      this.#state !== "discarding" &&
      !this.writer.isClosed &&
      this.#gate?.isHoldingBack !== true &&
      !this.#scanner.isAtFrameBoundary
    );
  }

  onData(chunk: Buffer): void {
    countRead(chunk.length);
    if (this.#state === "relaying") this.#relay(chunk);
    else if (this.#state !== "ended") this.#wait(chunk);
  }

  /** The source has sent a FIN. Node tells so even while reading is paused: what is held back goes first. */
  onEnd(): void {
    if (this.#afterHeld === null) this.owner.onSourceEnd(this);
    else this.#endsAfterHeld = true;
  }

  /** The sink takes bytes again. */
  onDrain(): void {
    this.resumeSource();
  }

  /** Limits of the source, from its next message on. */
  limit({ messages: limits, maxMessageBytes, controlFrames }: SourceLimits, nowNs: () => number): void {
    this.#maxMessageBytes = maxMessageBytes;
    this.#controlFrames = controlFrames === null ? null : new ControlFrameLimit(controlFrames);
    if (this.#gate !== null) this.#gate.changeLimits(limits ?? UNLIMITED);
    else if (limits !== null) {
      this.#gate = new MessageGate(this, limits, new FrameScanner(this.#scannerOptions), nowNs);
    }
  }

  /**
   * Writes a Close of ours to the sink, at the end of the data frame in flight; what the source sends
   * after that is read and thrown away until its own Close.
   */
  close(frame: Buffer): void {
    if (this.writer.isClosed || this.#waitingClose !== null) return;
    this.#waitingClose = frame;
    if (this.#state === "relaying" && this.isInsideFrame) this.#enter("finishing");
    else this.#writeWaitingClose();
  }

  /** Puts a text message of ours between two messages of the source; not where one waits already. */
  notify(frame: Buffer): void {
    if (this.#state !== "relaying" || this.#waitingText !== null) return;
    this.#waitingText = frame;
    if (this.#scanner.isAtMessageBoundary) this.#writeWaitingText();
  }

  /** Nothing more goes through: the sink is gone, or the frame at hand must not reach it. */
  stop(): void {
    if (this.#state === "ended") return;
    this.#enter("discarding");
    this.#gate?.stop();
    const held = this.#afterHeld;
    this.#afterHeld = null;
    if (held?.stop === "close") this.#receiveClose(held.bytes);
    this.#endIfWaiting();
    // Reading may have been paused for a sink that no longer counts.
    this.source.resume();
  }

  /** The source is gone, or what it sends cannot be understood any more. */
  end(): void {
    this.#enter("ended");
    this.#gate?.stop();
    this.source.resume();
  }

  forward(bytes: Buffer, messages: number): void {
    const { cells, messages: messageCell, bytes: byteCell } = this.#counters;
    this.messages += messages;
    this.bytes += bytes.length;
    cells[messageCell] = (cells[messageCell] as number) + messages;
    cells[byteCell] = (cells[byteCell] as number) + bytes.length;
    if (!this.writer.forward(bytes)) this.source.pause();
  }

  pauseSource(): void {
    this.source.pause();
  }

  /** Reads on, unless the sink is full or tokens are waited for. */
  resumeSource(): void {
    if (!this.source.isPaused() || this.writer.socket.writableNeedDrain) return;
    if (this.#gate?.isWaiting !== true) this.source.resume();
  }

  onLimited(action: OnExceed, messages: number, retryAfterMs: number): void {
    this.owner.onLimited(action, messages, retryAfterMs);
  }

  onDelayed(delayMs: number): void {
    this.owner.onDelayed(delayMs);
  }

  onRateExceeded(): void {
    // What was let through ends at a message boundary, wherever the source stands.
    this.stop();
    this.owner.onRateExceeded(this);
  }

  onHeldPassed(): void {
    const held = this.#afterHeld;
    this.#afterHeld = null;
    if (held !== null) this.#finishChunk(held);
    this.#endIfWaiting();
  }

  #endIfWaiting(): void {
    if (!this.#endsAfterHeld) return;
    this.#endsAfterHeld = false;
    this.owner.onSourceEnd(this);
  }

  #enter(state: PipeState): void {
    this.#state = state;
  }

  /** The message path: one pass over the frame headers of the chunk, one write. */
  #relay(chunk: Buffer): void {
    const scanner = this.#scanner;
    const gate = this.#gate;
    gate?.beforeChunk(scanner);
    const bytes = scanner.feed(chunk);
    let at = 0;
    let messages = 0;
    let controlFrames = 0;
    let stop: ChunkStop = "end";
    for (;;) {
      at = scanner.next(bytes, at);
      if (!scanner.frameReady) break;
      const { opcode } = scanner;
      if (opcode >= Opcode.close) {
        controlFrames += 1;
        if (opcode === Opcode.close) stop = "close";
      } else if (scanner.messageLength > this.#maxMessageBytes) {
        stop = "too big";
      } else if (opcode !== Opcode.continuation) {
        messageStarts[messages] = scanner.frameStart;
        messages += 1;
      }
      if (at === bytes.length || stop !== "end") break;
    }
    const end = stop === "too big" ? scanner.frameStart : at;
    const passed = this.#pass(bytes, end, messages);
    if (controlFrames > 0) this.#checkControlFrames(controlFrames);
    if (passed === "passed" && stop === "end" && scanner.error === null) return;
    const rest = { bytes, at, stop };
    if (passed === "held") this.#afterHeld = rest;
    else this.#finishChunk(rest);
  }

  #checkControlFrames(count: number): void {
    if (this.#controlFrames?.take(count, performance.now()) === false) this.owner.onControlFlood(this);
  }

  #pass(bytes: Buffer, end: number, messages: number): "passed" | "held" | "ended" {
    if (this.#gate !== null) {
      const isInsideMessage = !this.#scanner.isAtMessageBoundary;
      return this.#gate.pass({ bytes, end, starts: messageStarts, messages }, isInsideMessage);
    }
    let from = 0;
    if (this.#waitingText !== null && messages > 0) {
      from = messageStarts[0] as number;
      if (from > 0) this.forward(bytes.subarray(0, from), 0);
      this.#writeWaitingText();
    }
    if (end > from)
      this.forward(from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end), messages);
    if (this.#waitingText !== null && this.#scanner.isAtMessageBoundary) this.#writeWaitingText();
    return "passed";
  }

  /** What comes of a chunk once its messages have gone on. */
  #finishChunk({ bytes, at, stop }: ChunkRest): void {
    if (stop === "close") {
      if (this.#state === "relaying") this.writer.markClosed();
      if (this.#state !== "ended") this.#receiveClose(bytes);
      return;
    }
    if (this.#state !== "relaying") return;
    if (stop === "too big") {
      this.stop();
      this.owner.onMessageTooBig(this);
      this.#findClose(bytes, at);
    } else if (this.#scanner.error !== null) {
      this.end();
      this.owner.onProtocolError(this, this.#scanner.error);
    }
  }

  /** The Close is the frame that was read last. */
  #receiveClose(bytes: Buffer): void {
    this.closeReceived = parseClosePayload(this.#scanner.controlPayload(bytes));
    this.end();
    this.owner.onCloseReceived(this);
  }

  /** Our Close is under way: passes on no more than the frame in flight, and looks for the source's Close. */
  #wait(chunk: Buffer): void {
    const scanner = this.#scanner;
    const bytes = scanner.feed(chunk);
    let at = 0;
    if (this.#state === "finishing") {
      const frameEnd = Math.min(scanner.payloadRemaining, bytes.length);
      at = frameEnd === 0 ? 0 : scanner.next(bytes.subarray(0, frameEnd), 0);
      if (at > 0) this.forward(bytes.subarray(0, at), 0);
      if (scanner.isAtFrameBoundary) this.#writeWaitingClose();
    }
    this.#findClose(bytes, at);
  }

  /** Steps over what the source sends behind our Close, up to its own. */
  #findClose(bytes: Buffer, from: number): void {
    const scanner = this.#scanner;
    let at = from;
    while (at < bytes.length) {
      at = scanner.next(bytes, at);
      if (!scanner.frameReady) break;
      if (scanner.opcode !== Opcode.close) continue;
      return this.#receiveClose(bytes);
    }
    // A peer that is being closed is past being told of its errors.
    if (scanner.error !== null) this.end();
  }

  #writeWaitingText(): void {
    const frame = this.#waitingText;
    this.#waitingText = null;
    if (frame !== null && !this.writer.isClosed && !this.writer.forward(frame)) this.source.pause();
  }

  #writeWaitingClose(): void {
    const frame = this.#waitingClose;
    if (frame === null) return;
    this.#waitingClose = null;
    this.writer.close(frame);
    this.stop();
    this.owner.onCloseSent(this);
  }
}
