// One direction of a relay: reads a socket's frames and passes the same bytes on to the other one.
// Policy and the story of the whole connection are its owner's; a pipe only tells it what it met.

import type { Socket } from "node:net";
import { parseClosePayload } from "../ws/close.ts";
import type { OnExceed } from "../config/schema-limits.ts";
import { FrameScanner } from "../ws/frame-scanner.ts";
import { type ChunkReading, type ChunkRest, findClose, readChunk } from "./chunk-reading.ts";
import type { SourceLimits } from "./connection-limits.ts";
import { ControlFrameLimit } from "./control-frame-limit.ts";
import { finishInFlight, type FinishingUnit, isAtEndOf } from "./finishing.ts";
import { FrameWriter } from "./frame-writer.ts";
import { type GateOwner, MessageGate, UNLIMITED } from "./message-gate.ts";
import type { OwnPings } from "./own-pings.ts";
import type { PipeOptions, PipeOwner } from "./pipe-owner.ts";
import { type FrameSink, PipeTap } from "./pipe-tap.ts";
import { countRead } from "./read-garbage.ts";

/**
 * - `relaying`: bytes go through.
 * - `finishing`: what is in flight goes through whole, and nothing behind it: a frame, or a message, and
 *   before a message also those that wait for their turn. Then our Close follows, or the owner is told.
 * - `discarding`: nothing more goes through; reading on for the source's Close.
 * - `ended`: the source has sent its Close, ended, or broken the protocol; its bytes mean nothing now.
 */
type PipeState = "relaying" | "finishing" | "discarding" | "ended";

export class Pipe implements GateOwner {
  readonly owner: PipeOwner;
  readonly source: Socket;
  readonly writer: FrameWriter;
  /** Bytes that the source has sent, whatever became of them. */
  bytesRead = 0;
  /** Weir does not read the source at the moment. */
  isPaused = false;
  /** Weir's pings to the source, whose pongs end here; null before the first one. */
  ownPings: OwnPings | null = null;
  maxMessageBytes = Number.POSITIVE_INFINITY;
  /** Who is told of the frames that are read; null: nobody. */
  #tap: PipeTap | null = null;
  /** The source's Close, once it was read: 1005 where it was empty. */
  closeReceived: { readonly code: number; readonly reason: string } | null = null;
  readonly #scanner: FrameScanner;
  #ownPongBytes = 0;
  #controlFrames: ControlFrameLimit | null = null;
  #gate: MessageGate | null = null;
  /** Of the chunk at hand, while the gate holds a part of it back. */
  #afterHeld: ChunkRest | null = null;
  /** The source's FIN has come while a part of what it sent is held back. */
  #endsAfterHeld = false;
  #state: PipeState = "relaying";
  /** What `finishing` waits for the end of. */
  #unit: FinishingUnit = "frame";

  constructor(options: PipeOptions) {
    this.owner = options.owner;
    this.source = options.source;
    this.writer = new FrameWriter(options.sink, options.counters);
    this.#scanner = new FrameScanner({ masked: options.masked, reservedBits: options.reservedBits });
  }

  /** Nothing that the source sends means anything any more. */
  get isEnded(): boolean {
    return this.#state === "ended";
  }

  get isRelaying(): boolean {
    return this.#state === "relaying";
  }

  /** No more goes through than what is in flight. */
  get isFinishing(): boolean {
    return this.#state === "finishing";
  }

  /** Bytes that the source has sent of its own accord: no pongs for Weir, nor frames not known for what they are. */
  get peerBytes(): number {
    return this.bytesRead - this.#ownPongBytes - this.#scanner.carryLength;
  }

  /** True where the sink has got a part of a frame only; it cannot be sent a Close then. */
  get isInsideFrame(): boolean {
    return this.#state !== "discarding" && !this.writer.isClosed && this.#isInside("frame");
  }

  /** Begins to tell of each frame that is read; null ends it. */
  tap(sink: FrameSink | null): void {
    this.#tap = sink === null ? null : new PipeTap(this.#scanner, sink);
  }

  onData(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    countRead(chunk.length);
    if (this.#state === "relaying") this.#relay(chunk);
    else if (this.#state !== "ended") this.#wait(this.#scanner.feed(chunk));
  }

  /** The source has sent a FIN. Node tells so even while reading is paused: what is held back goes first. */
  onEnd(): void {
    if (this.#afterHeld === null) this.owner.onSourceEnd(this);
    else this.#endsAfterHeld = true;
  }

  /** Limits of the source, from its next message on. */
  limit({ messages: limits, maxMessageBytes, controlFrames }: SourceLimits, nowNs: () => number): void {
    this.maxMessageBytes = maxMessageBytes;
    if (controlFrames === null) this.#controlFrames = null;
    else if (this.#controlFrames === null) this.#controlFrames = new ControlFrameLimit(controlFrames);
    else this.#controlFrames.changeRate(controlFrames, performance.now());
    if (this.#gate !== null) this.#gate.changeLimits(limits ?? UNLIMITED);
    else if (limits !== null) {
      this.#gate = new MessageGate(this, limits, new FrameScanner(this.#scanner.options), nowNs);
    }
  }

  /**
   * A message is in flight, or some wait for their turn.
   *
   * @param heldWithinMs those count where they all may go on within this time
   */
  isInMessage(heldWithinMs: number): boolean {
    if (this.#state !== "relaying") return false;
    return this.#isInside("message") || (this.#gate?.heldMs ?? Number.POSITIVE_INFINITY) < heldWithinMs;
  }

  /** Lets what `isInMessage` tells of through, but nothing behind it; then the owner is told. */
  finish(): void {
    this.#unit = "message";
    this.#enter("finishing");
  }

  /**
   * Writes a Close of ours to the sink, at the end of the data frame in flight, or of what is being finished;
   * what the source sends after that is read and thrown away until its own Close.
   */
  close(frame: Buffer): void {
    if (!this.writer.keepClose(frame) || this.#state === "finishing") return;
    this.#unit = "frame";
    if (this.#state === "relaying" && this.#isInside("frame")) this.#enter("finishing");
    else this.#writeClose();
  }

  /** Puts a text message of ours between two messages of the source. False: nothing goes through any more. */
  notify(frame: Buffer): boolean {
    if (this.#state !== "relaying") return false;
    this.writer.keepText(frame);
    if (this.#scanner.isAtMessageBoundary) this.#writeText();
    return true;
  }

  /** Sends the sink a Ping of ours, at the end of the frame in flight. */
  ping(frame: Buffer, onFlushed: () => void): void {
    if (this.#state !== "relaying") return;
    this.writer.keepPing(frame, onFlushed);
    if (!this.isInsideFrame) this.#writePing();
  }

  /** Nothing more goes through: the sink is gone, or the frame at hand must not reach it. */
  stop(): void {
    if (this.#state === "ended") return;
    this.#enter("discarding");
    this.#gate?.stop();
    const held = this.#afterHeld;
    this.#afterHeld = null;
    if (held?.stop === "close") this.#receiveClose(held.bytes);
    else if (held?.stop === "own pong") this.#lookForClose(held.bytes, held.at);
    this.#endIfWaiting();
    // Reading may have been paused for a sink that no longer counts.
    this.#resume();
  }

  /** The source is gone, or what it sends cannot be understood any more. */
  end(): void {
    this.#enter("ended");
    this.#gate?.stop();
    this.#resume();
  }

  forward(bytes: Buffer, messages: number): void {
    if (!this.writer.forward(bytes, messages)) this.pauseSource();
  }

  pauseSource(): void {
    this.ownPings?.forgetTime();
    this.isPaused = true;
    this.source.pause();
  }

  /** Reads on, unless the sink is full or tokens are waited for. */
  resumeSource(): void {
    if (!this.source.isPaused() || this.writer.socket.writableNeedDrain) return;
    if (this.#gate?.isWaiting !== true) this.#resume();
  }

  onLimited(action: OnExceed, messages: number, retryAfterMs: number): void {
    this.#tap?.onLimited(action, messages, this.#gate?.exceeded ?? null);
    this.owner.onLimited(action, messages, retryAfterMs);
  }

  onDelayed(delayMs: number): void {
    this.owner.onDelayed(delayMs);
  }

  onRateExceeded(): void {
    this.#tap?.onWaitRefused();
    // What was let through ends at a message boundary, wherever the source stands.
    if (this.#state === "finishing") return this.#finished();
    this.stop();
    this.owner.onRateExceeded(this);
  }

  onHeldPassed(): void {
    const held = this.#afterHeld;
    this.#afterHeld = null;
    if (held !== null) this.#finishChunk(held);
    if (this.#state === "finishing") this.#finishBehind(held);
    this.#endIfWaiting();
  }

  /** All that waited has gone on: that was it, unless the last message goes on in the next chunk. */
  #finishBehind(held: ChunkRest | null): void {
    const isCut = held !== null && (held.stop === "too big" || held.stop === "error");
    if (isCut || isAtEndOf(this.#unit, this.#scanner)) this.#finished();
  }

  #resume(): void {
    this.isPaused = false;
    this.source.resume();
  }

  #endIfWaiting(): void {
    if (!this.#endsAfterHeld || this.#afterHeld !== null) return;
    this.#endsAfterHeld = false;
    this.owner.onSourceEnd(this);
  }

  #isInside(unit: FinishingUnit): boolean {
    return this.#gate?.isHoldingBack !== true && !isAtEndOf(unit, this.#scanner);
  }

  #enter(state: PipeState): void {
    this.#state = state;
  }

  #relay(chunk: Buffer): void {
    const bytes = this.#scanner.feed(chunk);
    if (this.writer.isPingWaiting) this.#relayAroundPing(bytes);
    else this.#relayFrames(bytes);
  }

  /** Our Ping goes behind the frame in flight, and what the chunk holds beyond that behind the Ping. */
  #relayAroundPing(bytes: Buffer): void {
    const frameEnd = Math.min(this.#scanner.payloadRemaining, bytes.length);
    if (frameEnd > 0) this.#relayFrames(bytes.subarray(0, frameEnd));
    if (!this.isInsideFrame) this.#writePing();
    if (frameEnd < bytes.length) this.#relayFrames(bytes.subarray(frameEnd));
  }

  /** The message path: one pass over the frame headers of the chunk, one write. */
  #relayFrames(bytes: Buffer): void {
    const scanner = this.#scanner;
    this.#gate?.beforeChunk(scanner);
    const reading = readChunk(scanner, bytes, this);
    const { at, stop, controlFrames } = reading;
    if (this.#tap !== null) this.#tap.onRead(bytes, at, stop);
    const passed = this.#pass(bytes, reading);
    // Whoever ends the connection from here on finds what is held.
    if (passed === "held") this.#afterHeld = { bytes, at, stop };
    if (controlFrames > 0) this.#checkControlFrames(controlFrames);
    if (passed === "held" || (passed === "passed" && stop === "end")) return;
    this.#finishChunk({ bytes, at, stop });
  }

  #checkControlFrames(count: number): void {
    if (this.#controlFrames?.take(count, performance.now()) === false) this.owner.onControlFlood(this);
  }

  #pass(bytes: Buffer, reading: ChunkReading): "passed" | "held" | "ended" {
    const { end, starts, messages } = reading;
    if (this.#gate !== null) {
      const isInsideMessage = !this.#scanner.isAtMessageBoundary;
      return this.#gate.pass({ bytes, end, starts, messages }, isInsideMessage);
    }
    if (this.writer.isTextWaiting) this.#passAroundText(bytes, reading);
    else this.#forwardPart(bytes, 0, end, messages);
    return "passed";
  }

  /** The text that waits goes before the first message of the chunk, or behind the end of the one in flight. */
  #passAroundText(bytes: Buffer, { end, stop, starts, messages }: ChunkReading): void {
    let from = 0;
    if (messages > 0) {
      from = starts[0] ?? 0;
      this.#forwardPart(bytes, 0, from, 0);
      this.#writeText();
    }
    this.#forwardPart(bytes, from, end, messages);
    if (stop !== "close" && this.#scanner.isAtMessageBoundary) this.#writeText();
  }

  #forwardPart(bytes: Buffer, from: number, to: number, messages: number): void {
    if (from === to) return;
    this.forward(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), messages);
  }

  /** What comes of a chunk once its messages have gone on. */
  #finishChunk({ bytes, at, stop }: ChunkRest): void {
    if (stop === "close") {
      if (this.#state === "relaying" || this.#state === "finishing") this.writer.markClosed();
      if (this.#state !== "ended") this.#receiveClose(bytes);
      return;
    }
    if (stop === "own pong") return this.#skipOwnPong(bytes, at);
    if (this.#state !== "relaying") return;
    if (stop === "too big") {
      this.stop();
      this.owner.onMessageTooBig(this);
      this.#lookForClose(bytes, at);
    } else if (this.#scanner.error !== null) {
      this.end();
      this.owner.onProtocolError(this, this.#scanner.error);
    }
  }

  /** Nothing has been written of the Pong that was read last: what follows it in the chunk goes on. */
  #skipOwnPong(bytes: Buffer, at: number): void {
    this.#ownPongBytes += at - this.#scanner.frameStart;
    if (at === bytes.length) return;
    const rest = bytes.subarray(at);
    if (this.#state === "relaying") this.#relayFrames(rest);
    else if (this.#state !== "ended") this.#wait(rest);
  }

  /** The Close is the frame that was read last. */
  #receiveClose(bytes: Buffer): void {
    this.closeReceived = parseClosePayload(this.#scanner.controlPayload(bytes));
    this.end();
    this.owner.onCloseReceived(this);
  }

  /** The end is near: passes on no more than what is in flight, and looks for the source's Close. */
  #wait(bytes: Buffer): void {
    const scanner = this.#scanner;
    if (this.#state !== "finishing") return this.#lookForClose(bytes, 0);
    const { end, at, stop } = finishInFlight(scanner, bytes, this.#unit, this);
    if (stop === "own pong") this.#tap?.onRead(bytes, at, stop);
    else this.#tap?.onRead(bytes, end, "end");
    this.#forwardPart(bytes, 0, end, 0);
    if (stop === "own pong") return this.#wait(bytes.subarray(at));
    if (stop === "more") return;
    if (scanner.isAtMessageBoundary) this.#writeText();
    this.#finished();
    if (stop === "close") this.#receiveLateClose(bytes);
    else this.#lookForClose(bytes, at);
  }

  /** Behind our Close, nothing that the source sends is of interest but its own. */
  #lookForClose(bytes: Buffer, from: number): void {
    if (findClose(this.#scanner, bytes, from)) this.#receiveLateClose(bytes);
    // A peer that is being closed is past being told of its errors.
    else if (this.#scanner.error !== null) this.end();
  }

  #receiveLateClose(bytes: Buffer): void {
    this.#tap?.onLateClose(this.#scanner.payloadLength);
    this.#receiveClose(bytes);
  }

  #writeText(): void {
    if (!this.writer.writeTexts()) this.pauseSource();
  }

  #writePing(): void {
    if (!this.writer.writePing()) this.pauseSource();
  }

  /** What was in flight is through: our Close follows, where it is there already. */
  #finished(): void {
    if (this.writer.isCloseWaiting) return this.#writeClose();
    this.stop();
    this.owner.onFinished(this);
  }

  #writeClose(): void {
    if (!this.writer.writeClose()) return;
    this.stop();
    this.owner.onCloseSent(this);
  }
}
