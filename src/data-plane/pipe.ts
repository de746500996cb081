// One direction of a relay: reads a socket's frames and passes the same bytes on to the other one.
// Policy and the story of the whole connection are its owner's; a pipe only tells it what it met.

import type { Socket } from "node:net";
import { parseClosePayload } from "../ws/close.ts";
import { FrameScanner } from "../ws/frame-scanner.ts";
import { Opcode, type ProtocolError } from "../ws/protocol.ts";
import { FrameWriter } from "./frame-writer.ts";

/** What a pipe tells the connection that owns it. */
export interface PipeOwner {
  /** The source's Close frame was read (and passed on, where the sink was still to get one). */
  onCloseReceived(pipe: Pipe): void;
  /** Our own Close has been written to the sink. */
  onCloseSent(pipe: Pipe): void;
  onProtocolError(pipe: Pipe, error: ProtocolError): void;
  /** A frame header announced a message above the limit; nothing of that frame was passed on. */
  onMessageTooBig(pipe: Pipe): void;
  /** The source has sent a FIN. */
  onSourceEnd(pipe: Pipe): void;
  onSourceClosed(pipe: Pipe): void;
  /** The socket that this pipe reads takes bytes again. */
  onDrain(reader: Pipe): void;
}

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
  /** Bytes of payload on the wire, summed over fragments; Infinity for no limit. */
  readonly maxMessageBytes: number;
  readonly counters: PipeCounters;
}

/**
 * - `relaying`: bytes go through.
 * - `finishing`: our Close waits until the data frame in flight has gone through whole.
 * - `discarding`: nothing more goes through; reading on for the source's Close.
 * - `ended`: the source has sent its Close, ended, or broken the protocol; its bytes mean nothing now.
 */
type PipeState = "relaying" | "finishing" | "discarding" | "ended";

export class Pipe {
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
  readonly #maxMessageBytes: number;
  #state: PipeState = "relaying";
  #waitingClose: Buffer | null = null;

  constructor(options: PipeOptions) {
    this.owner = options.owner;
    this.source = options.source;
    this.writer = new FrameWriter(options.sink);
    this.#scanner = new FrameScanner({ masked: options.masked, reservedBits: options.reservedBits });
    this.#counters = options.counters;
    this.#maxMessageBytes = options.maxMessageBytes;
  }

  /** Nothing that the source sends means anything any more. */
  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** True where the sink has got a part of a frame only; it cannot be sent a Close then. */
  get isInsideFrame(): boolean {
    return this.#state !== "discarding" && !this.writer.isClosed && !this.#scanner.isAtFrameBoundary;
  }

  onData(chunk: Buffer): void {
    if (this.#state === "relaying") this.#relay(chunk);
    else if (this.#state !== "ended") this.#wait(chunk);
  }

  /** The sink takes bytes again. */
  onDrain(): void {
    if (this.source.isPaused()) this.source.resume();
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

  /** Nothing more goes through: the sink is gone, or the frame at hand must not reach it. */
  stop(): void {
    if (this.#state === "ended") return;
    this.#enter("discarding");
    // Reading may have been paused for a sink that no longer counts.
    this.source.resume();
  }

  /** The source is gone, or what it sends cannot be understood any more. */
  end(): void {
    this.#enter("ended");
    this.source.resume();
  }

  #enter(state: PipeState): void {
    this.#state = state;
  }

  /** The message path: one pass over the frame headers of the chunk, one write. */
  #relay(chunk: Buffer): void {
    const scanner = this.#scanner;
    const bytes = scanner.feed(chunk);
    let at = 0;
    let messages = 0;
    for (;;) {
      at = scanner.next(bytes, at);
      if (!scanner.frameReady) break;
      const { opcode } = scanner;
      if (opcode >= Opcode.close) {
        if (opcode === Opcode.close) return this.#relayClose(bytes, at, messages);
      } else {
        if (scanner.messageLength > this.#maxMessageBytes) {
          this.#forward(bytes, scanner.frameStart, messages);
          this.stop();
          this.owner.onMessageTooBig(this);
          return this.#findClose(bytes, at);
        }
        if (opcode !== Opcode.continuation) messages += 1;
      }
      if (at === bytes.length) break;
    }
    this.#forward(bytes, at, messages);
    if (scanner.error !== null) this.#fail(scanner.error);
  }

  #relayClose(bytes: Buffer, end: number, messages: number): void {
    this.closeReceived = parseClosePayload(this.#scanner.controlPayload(bytes));
    this.#forward(bytes, end, messages);
    this.writer.markClosed();
    this.end();
    this.owner.onCloseReceived(this);
  }

  #forward(bytes: Buffer, end: number, messages: number): void {
    if (end === 0) return;
    const { cells, messages: messageCell, bytes: byteCell } = this.#counters;
    this.messages += messages;
    this.bytes += end;
    cells[messageCell] = (cells[messageCell] as number) + messages;
    cells[byteCell] = (cells[byteCell] as number) + end;
    const isTaken = this.writer.forward(end === bytes.length ? bytes : bytes.subarray(0, end));
    if (!isTaken) this.source.pause();
  }

  /** Our Close is under way: passes on no more than the frame in flight, and looks for the source's Close. */
  #wait(chunk: Buffer): void {
    const scanner = this.#scanner;
    const bytes = scanner.feed(chunk);
    let at = 0;
    if (this.#state === "finishing") {
      const frameEnd = Math.min(scanner.payloadRemaining, bytes.length);
      at = frameEnd === 0 ? 0 : scanner.next(bytes.subarray(0, frameEnd), 0);
      this.#forward(bytes, at, 0);
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
      this.closeReceived = parseClosePayload(scanner.controlPayload(bytes));
      this.end();
      return this.owner.onCloseReceived(this);
    }
    // A peer that is being closed is past being told of its errors.
    if (scanner.error !== null) this.end();
  }

  #writeWaitingClose(): void {
    const frame = this.#waitingClose;
    if (frame === null) return;
    this.#waitingClose = null;
    this.writer.close(frame);
    this.stop();
    this.owner.onCloseSent(this);
  }

  #fail(error: ProtocolError): void {
    this.end();
    this.owner.onProtocolError(this, error);
  }
}
