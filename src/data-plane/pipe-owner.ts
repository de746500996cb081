// What a pipe gets from the connection that owns it, and what it tells it.

import type { Socket } from "node:net";
import type { OnExceed } from "../config/schema-limits.ts";
import type { ProtocolError } from "../ws/protocol.ts";
import type { DirectionCounters } from "./frame-writer.ts";
import type { Pipe } from "./pipe.ts";

export interface PipeOptions {
  readonly owner: PipeOwner;
  readonly source: Socket;
  readonly sink: Socket;
  readonly masked: boolean;
  readonly reservedBits: number;
  readonly counters: DirectionCounters;
}

export interface PipeOwner {
  /** The source's Close frame was read (and passed on, where the sink was still to get one). */
  onCloseReceived(pipe: Pipe): void;
  /** Our own Close has been written to the sink. */
  onCloseSent(pipe: Pipe): void;
  /** After `finish`: the last message is through, and nothing more goes through. */
  onFinished(pipe: Pipe): void;
  onProtocolError(pipe: Pipe, error: ProtocolError): void;
  /** A frame header announced a message above the limit; nothing of that frame was passed on. */
  onMessageTooBig(pipe: Pipe): void;
  /** The source sends more control frames than it may. */
  onControlFlood(pipe: Pipe): void;
  /** So many messages came above the limit; `retryAfterMs` says when the next one would conform. */
  onLimited(action: OnExceed, messages: number, retryAfterMs: number): void;
  /** A message was let through after this wait. */
  onDelayed(delayMs: number): void;
  /** A limit demands that the connection ends. */
  onRateExceeded(pipe: Pipe): void;
  /** The source has sent a FIN. */
  onSourceEnd(pipe: Pipe): void;
  onSourceClosed(pipe: Pipe): void;
  /** The socket that this pipe reads takes bytes again. */
  onDrain(reader: Pipe): void;
}
