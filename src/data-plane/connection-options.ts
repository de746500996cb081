// What a connection is made of, and whom it tells of what it goes through.

import type { Socket } from "node:net";
import type { OnExceed } from "../config/schema-limits.ts";
import type { ConnectionSummary, Grant } from "../shared-memory/channel.ts";
import type { ProtocolError } from "../ws/protocol.ts";
import type { CloseReasonName } from "./close-reasons.ts";
import type { Connection } from "./connection.ts";

export interface ConnectionOptions {
  readonly client: Socket;
  readonly backend: Socket;
  readonly grant: Grant;
  readonly reservedBits: number;
  readonly closeTimeoutMs: number;
  /** The route's `closeCodes`: the client's code by reason, or `none` to cut without a Close. */
  readonly closeCodes: Readonly<Record<string, number | "none">>;
  /** Milliseconds since the epoch; null where the client's token never does, or it has none. */
  readonly tokenExpiresAtMs: number | null;
  readonly cells: Float64Array;
  readonly observer: ConnectionObserver;
}

/** Who is told of what a connection goes through. */
export interface ConnectionObserver {
  onProtocolError(connection: Connection, side: "client" | "backend", error: ProtocolError): void;
  /** So many messages of the client came above its limits. */
  onLimited(connection: Connection, action: OnExceed, messages: number, retryAfterMs: number): void;
  /** A message of the client was let through after this wait. */
  onDelayed(connection: Connection, delayMs: number): void;
  /** Weir says goodbye, from this moment on. */
  onGoodbye(connection: Connection, reason: CloseReasonName): void;
  /** Once, when both sockets are closed. */
  onTeardown(connection: Connection, summary: ConnectionSummary): void;
}
