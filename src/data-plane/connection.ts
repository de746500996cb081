// One proxied WebSocket: owns both sockets and the grant from the client's 101 on, and ends them once.
// It turns how one side ended into what the other side is told.

import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { OnExceed } from "../config/schema-limits.ts";
import type { CloseWords, ConnectionEnd, Grant } from "../shared-memory/channel.ts";
import { Counter } from "../shared-memory/counters.ts";
import { buildCloseFrame, buildFrame } from "../ws/frame-builder.ts";
import { CloseCode, MASKING_KEY_BYTES, Opcode, type ProtocolError } from "../ws/protocol.ts";
import { CLOSE_REASONS, type CloseReasonName, type Goodbye } from "./close-reasons.ts";
import type { SourceLimits } from "./connection-limits.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import { LastMessages } from "./last-messages.ts";
import type { PipeOwner } from "./pipe-owner.ts";
import { Pipe } from "./pipe.ts";
import { attachPipe } from "./relayed-socket.ts";

export class Connection implements PipeOwner {
  readonly grant: Grant;
  readonly toBackend: Pipe;
  readonly toClient: Pipe;
  readonly #options: ConnectionOptions;
  readonly startedAtMs = performance.now();
  /** How it ended; set by whatever came first. */
  #end: ConnectionEnd | null = null;
  /** Weir has said goodbye itself: what the sides do from then on is no news. */
  #isLeaving = false;
  /** What the goodbye of a shutdown waits for: until then this is open like any other. Null before, and behind. */
  #lastMessages: LastMessages | null = null;
  #closeTimer: NodeJS.Timeout | null = null;
  #openSockets = 2;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.grant = options.grant;
    const base = options.grant.counterSlot;
    const shared = { owner: this, reservedBits: options.reservedBits };
    this.toBackend = new Pipe({
      ...shared,
      source: options.client,
      sink: options.backend,
      masked: true,
      counters: {
        cells: options.cells,
        messages: base + Counter.messagesToBackend,
        bytes: base + Counter.bytesToBackend,
      },
    });
    this.toClient = new Pipe({
      ...shared,
      source: options.backend,
      sink: options.client,
      masked: false,
      counters: {
        cells: options.cells,
        messages: base + Counter.messagesToClient,
        bytes: base + Counter.bytesToClient,
      },
    });
  }

  /** One side has closed or is gone, or Weir has said goodbye. */
  get isEnding(): boolean {
    return this.#end !== null;
  }

  /** Milliseconds since the epoch; null where the client's token never does, or it has none. */
  get tokenExpiresAtMs(): number | null {
    return this.#options.tokenExpiresAtMs;
  }

  /** Begins the relay; `early` are bytes that either side sent before. */
  start(early: { readonly fromClient: Buffer; readonly fromBackend: Buffer }): void {
    if (early.fromClient.length > 0) this.toBackend.onData(early.fromClient);
    if (early.fromBackend.length > 0) this.toClient.onData(early.fromBackend);
    attachPipe(this.toBackend);
    attachPipe(this.toClient);
  }

  /**
   * Weir's own goodbye to both sides, as the table of reasons has it, each at the end of the frame in flight.
   *
   * @param words what the client is told in place of that
   */
  close(reason: CloseReasonName, words: CloseWords | null = null): void {
    if (this.#isLeaving) return;
    this.#leave(reason, words?.code ?? this.#clientGoodbye(reason));
    this.#startCloseTimer();
    this.#sayGoodbyes(reason, words);
  }

  /**
   * The goodbye of a shutdown: the messages in flight are delivered whole before, and so are those that wait
   * for their turn, if all that is over by then. Any other end may come first. The peers' time begins at our Close.
   */
  drain(untilMs: number): void {
    if (this.#isLeaving || this.#lastMessages !== null) return;
    this.#lastMessages = new LastMessages({
      pipes: [this.toBackend, this.toClient],
      withinMs: untilMs - performance.now(),
      onOver: () => {
        this.#leave("draining", this.#clientGoodbye("draining"));
        this.#sayGoodbyes("draining");
      },
    });
    this.#lastMessages.start();
  }

  /** Closes the connection for a peer that is not there, or takes nothing: no goodbye would reach that one. */
  abandon(side: "client" | "backend", reason: CloseReasonName): void {
    const isClient = side === "client";
    const reader = isClient ? this.toBackend : this.toClient;
    // A frame cut short can only be followed by the end of the stream.
    const isCut = reader.isInsideFrame;
    this.#endAs({ code: CloseCode.abnormal, by: side, reason });
    this.close(reason);
    if (isCut) reader.writer.socket.destroy();
    reader.source.destroy();
  }

  /** What the client is held to from its next message on; before the first call, nothing. */
  limit(limits: SourceLimits, nowNs: () => number): void {
    this.toBackend.limit(limits, nowNs);
  }

  /** Sends the client a text message of ours between two messages of the backend. False: nothing goes out now. */
  notify(text: string): boolean {
    const payload = Buffer.from(text);
    return this.toClient.notify(buildFrame({ opcode: Opcode.text, payload, maskingKey: null }));
  }

  /** Cuts both sockets now. */
  destroy(): void {
    this.#options.client.destroy();
    this.#options.backend.destroy();
  }

  onCloseReceived(pipe: Pipe): void {
    const by = this.#sideOf(pipe);
    this.#endAs({ code: pipe.closeReceived?.code ?? CloseCode.noStatus, by, reason: "close" });
    this.#startCloseTimer();
    // It came instead of the end of a message, and was not passed on: the other side is to hear of it.
    if (!pipe.writer.isClosed) this.#lastMessages?.end();
    this.#settle();
  }

  onCloseSent(_pipe: Pipe): void {
    if (isTold(this.toClient) && isTold(this.toBackend)) this.#startCloseTimer();
    this.#settle();
  }

  onMessageTooBig(_pipe: Pipe): void {
    this.close("too_big");
  }

  onControlFlood(_pipe: Pipe): void {
    this.close("control_flood");
  }

  onLimited(action: OnExceed, messages: number, retryAfterMs: number): void {
    this.#options.observer.onLimited(this, action, messages, retryAfterMs);
  }

  onDelayed(delayMs: number): void {
    this.#options.observer.onDelayed(this, delayMs);
  }

  onRateExceeded(_pipe: Pipe): void {
    this.close("rate");
  }

  onFinished(_pipe: Pipe): void {
    this.#lastMessages?.look();
  }

  onProtocolError(pipe: Pipe, error: ProtocolError): void {
    this.#options.observer.onProtocolError(this, this.#sideOf(pipe), error);
    this.close(pipe === this.toBackend ? "protocol_error" : "backend_protocol_error");
  }

  /** The other side's bytes flow again once this sink has drained. */
  onDrain(reader: Pipe): void {
    this.#opposite(reader).resumeSource();
  }

  /** The source has sent a FIN. */
  onSourceEnd(pipe: Pipe): void {
    this.#onGone(pipe);
    this.#startCloseTimer();
    this.#settle();
  }

  onSourceClosed(pipe: Pipe): void {
    this.#openSockets -= 1;
    this.#onGone(pipe);
    this.#opposite(pipe).stop();
    if (this.#openSockets === 0) return this.#teardown();
    this.#startCloseTimer();
    this.#settle();
  }

  #onGone(pipe: Pipe): void {
    pipe.end();
    if (pipe.closeReceived !== null) return;
    if (!this.#isLeaving) this.#onLost(pipe);
    this.#opposite(pipe).stop();
    pipe.source.destroySoon();
  }

  /** A side is gone without a Close. What it sent before is already on its way to the other one. */
  #onLost(pipe: Pipe): void {
    this.#beginToLeave();
    const isClient = pipe === this.toBackend;
    const reason: CloseReasonName = isClient ? "client_lost" : "backend_lost";
    this.#endAs({ code: CloseCode.abnormal, by: this.#sideOf(pipe), reason });
    const otherClosed = this.#opposite(pipe).closeReceived;
    // A frame cut short can only be followed by the end of the stream.
    if (pipe.isInsideFrame) this.#cut(pipe);
    // The other side has closed and waits: it gets its own Close back, as RFC 6455 §5.5.1 would have it.
    else if (otherClosed !== null) this.#sayGoodbye(pipe, otherClosed.code, otherClosed.reason);
    else {
      const { backend, text } = CLOSE_REASONS[reason];
      this.#sayGoodbye(pipe, isClient ? backend : this.#clientGoodbye(reason), text);
    }
  }

  #beginToLeave(): void {
    this.#isLeaving = true;
    this.#lastMessages?.stop();
    this.#lastMessages = null;
  }

  #leave(reason: CloseReasonName, code: Goodbye): void {
    this.#beginToLeave();
    this.#options.observer.onGoodbye(this, reason);
    this.#endAs({ code: code === "cut" ? CloseCode.abnormal : code, by: CLOSE_REASONS[reason].by, reason });
  }

  #sayGoodbyes(reason: CloseReasonName, words: CloseWords | null = null): void {
    const { backend, text } = CLOSE_REASONS[reason];
    this.#sayGoodbye(this.toClient, words?.code ?? this.#clientGoodbye(reason), words?.text ?? text);
    this.#sayGoodbye(this.toBackend, backend, "");
  }

  #sayGoodbye(pipe: Pipe, goodbye: Goodbye, text: string): void {
    if (goodbye === "cut") return this.#cut(pipe);
    const maskingKey = pipe === this.toBackend ? randomBytes(MASKING_KEY_BYTES) : null;
    pipe.close(buildCloseFrame({ code: goodbye, reason: text, maskingKey }));
  }

  /** Ends the sink without a Close, once what was written to it is flushed. */
  #cut(pipe: Pipe): void {
    pipe.stop();
    endSocket(pipe.writer.socket);
  }

  /** Ends each socket whose closing handshake is complete, or cannot be (RFC 6455 §7.1.7). */
  #settle(): void {
    const isClientDone = this.toBackend.isEnded && this.toClient.writer.isClosed;
    const isBackendDone = this.toClient.isEnded && this.toBackend.writer.isClosed;
    // RFC 6455 §7.1.1: the server closes the TCP connection first. Towards the client that is us.
    if (isClientDone) endSocket(this.#options.client);
    // The backend has ended its side: nothing is left to say, and a FIN of its own would be a system call more.
    if (isBackendDone && this.#options.backend.readableEnded) this.#options.backend.destroySoon();
  }

  /** From the first Close or FIN on: what does not end by then is cut. */
  #startCloseTimer(): void {
    if (this.#closeTimer !== null) return;
    const before = this.#progress();
    this.#closeTimer = setTimeout(() => {
      // What was sent before the goodbye may still be under way to a slow reader, for as long as that one
      // reads. Weir's own goodbye is strict, but at a shutdown, which has a deadline of its own.
      const isStrict = this.#end?.by === "weir" && this.#end.reason !== "draining";
      if (isStrict || this.#progress() === before) return this.destroy();
      this.#closeTimer = null;
      this.#startCloseTimer();
    }, this.#options.closeTimeoutMs);
  }

  /** Changes whenever a byte has moved. */
  #progress(): number {
    const { client, backend } = this.#options;
    const passed = this.toBackend.writer.bytes + this.toClient.writer.bytes;
    return passed - client.writableLength - backend.writableLength;
  }

  /** Once, when both sockets are closed. */
  #teardown(): void {
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    this.#lastMessages?.stop();
    this.#options.observer.onTeardown(this, {
      ...(this.#end ?? { code: CloseCode.abnormal, by: "weir", reason: "destroyed" }),
      durationMs: Math.round(performance.now() - this.startedAtMs),
      messagesToBackend: this.toBackend.writer.messages,
      messagesToClient: this.toClient.writer.messages,
      bytesToBackend: this.toBackend.writer.bytes,
      bytesToClient: this.toClient.writer.bytes,
    });
  }

  #clientGoodbye(reason: CloseReasonName): Goodbye {
    const chosen = this.#options.closeCodes[reason];
    if (chosen === undefined) return CLOSE_REASONS[reason].client;
    return chosen === "none" ? "cut" : chosen;
  }

  #endAs(end: ConnectionEnd): void {
    this.#end ??= end;
  }

  #sideOf(pipe: Pipe): "client" | "backend" {
    return pipe === this.toBackend ? "client" : "backend";
  }

  #opposite(pipe: Pipe): Pipe {
    return pipe === this.toBackend ? this.toClient : this.toBackend;
  }
}

/** The sink has its Close, or its FIN. */
function isTold({ writer }: Pipe): boolean {
  return writer.isClosed || writer.socket.writableEnded;
}

function endSocket(socket: Socket): void {
  if (!socket.writableEnded) socket.end();
}
