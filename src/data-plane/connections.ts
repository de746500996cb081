// The open connections of one worker thread: begins them, and knows them until their end.

import type { ConnectionSummary } from "../shared-memory/channel.ts";
import type { ProtocolError } from "../ws/protocol.ts";
import { joinedHeader, reservedBitsFor } from "../ws/handshake.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import type { CloseReasonName } from "./close-reasons.ts";
import { Connection } from "./connection.ts";
import type { AdmittedUpgrade, Dialed } from "./dial-with-retries.ts";
import type { Reporter } from "./reporter.ts";

/** What the log says of a connection from its start to its end. */
interface Facts {
  readonly user: string;
  readonly tier: string;
  readonly address: string;
  readonly route: string;
  readonly requestId: string;
}

export class Connections {
  readonly #desk: AdmissionDesk;
  readonly #reporter: Reporter;
  readonly #cells: Float64Array;
  readonly #open = new Map<Connection, Facts>();
  /** Why all connections are to end; null as long as they are not. */
  #closing: CloseReasonName | null = null;

  constructor(desk: AdmissionDesk, reporter: Reporter, cells: Float64Array) {
    this.#desk = desk;
    this.#reporter = reporter;
    this.#cells = cells;
  }

  /** The client has its 101: both sockets and the grant are the connection's from here. */
  start(upgrade: AdmittedUpgrade, dialed: Extract<Dialed, { kind: "switched" }>): void {
    const { settings, route, client, pending } = upgrade;
    const { limits, timeouts } = settings.config;
    const connection = new Connection({
      client: pending.socket,
      backend: dialed.socket,
      grant: dialed.grant,
      reservedBits: reservedBitsFor(joinedHeader(dialed.rawHeaders, "sec-websocket-extensions")),
      maxMessageBytes: limits.maxMessageSize ?? Number.POSITIVE_INFINITY,
      closeTimeoutMs: timeouts.close,
      closeCodes: route.closeCodes,
      cells: this.#cells,
      observer: this,
    });
    this.#open.set(connection, {
      user: client.user,
      tier: client.tier,
      address: client.address,
      route: route.id,
      requestId: upgrade.requestId,
    });
    connection.start({ fromClient: pending.release(), fromBackend: dialed.head });
    if (this.#closing !== null) connection.close(this.#closing);
  }

  /** Those whose backend is still being dialled are closed as soon as they open. */
  closeAll(reason: CloseReasonName): void {
    this.#closing = reason;
    for (const connection of this.#open.keys()) connection.close(reason);
  }

  destroyAll(): void {
    for (const connection of this.#open.keys()) connection.destroy();
  }

  onTeardown(connection: Connection, summary: ConnectionSummary): void {
    const facts = this.#open.get(connection);
    this.#open.delete(connection);
    this.#desk.release(connection.grant, summary);
    this.#reporter.connectionEnded(connection.grant, { ...facts, ...summary });
  }

  onProtocolError(connection: Connection, side: "client" | "backend", error: ProtocolError): void {
    const { grant } = connection;
    this.#reporter.log(side === "client" ? "info" : "warn", "protocol error", {
      side,
      error: error.code,
      reason: error.message,
      address: this.#open.get(connection)?.address,
      pool: grant.pool,
      backend: grant.backend,
    });
  }
}
