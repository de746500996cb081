// The open connections of one worker thread: begins them, keeps their limits up to date, and knows them
// until their end.

import type { OnExceed } from "../config/schema-limits.ts";
import type { NoticesConfig } from "../config/schema-routes.ts";
import type { BucketView } from "../shared-memory/bucket-table.ts";
import type { BufferedBytesCells } from "../shared-memory/buffered-bytes.ts";
import type { BucketCells, CloseWords, ConnectionSummary, ToWorker } from "../shared-memory/channel.ts";
import type { SharedClock } from "../shared-memory/clock.ts";
import { Counter } from "../shared-memory/counters.ts";
import { canDropMessages } from "../ws/extensions.ts";
import { joinedHeader, reservedBitsFor } from "../ws/handshake.ts";
import type { ProtocolError } from "../ws/protocol.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { ClientNotices } from "./client-notices.ts";
import type { CloseReasonName } from "./close-reasons.ts";
import { Connection } from "./connection.ts";
import { limitsOf } from "./connection-limits.ts";
import type { ConnectionObserver } from "./connection-options.ts";
import type { AdmittedUpgrade, Dialed } from "./dial-with-retries.ts";
import { Keepalive } from "./keepalive.ts";
import { LimitedNews } from "./limited-news.ts";
import { PacedCloses } from "./paced-closes.ts";
import type { Reporter } from "./reporter.ts";
import type { Taps } from "./taps.ts";
import type { Settings } from "./settings.ts";

interface ConnectionsOptions {
  readonly desk: AdmissionDesk;
  readonly reporter: Reporter;
  readonly taps: Taps;
  readonly settings: () => Settings;
  /** The thread's counters. */
  readonly cells: Float64Array;
  readonly buckets: BucketView;
  readonly activity: Float64Array;
  readonly buffered: BufferedBytesCells;
  readonly clock: SharedClock;
  /** The thread's place among the others, from 0 to below 1. */
  readonly phase: number;
}

/** What is known of a connection from its start to its end. */
export interface OpenConnection {
  readonly connection: Connection;
  /** What the log says of it. */
  readonly facts: {
    readonly user: string;
    readonly tier: string;
    readonly address: string;
    readonly route: string;
    readonly requestId: string;
  };
  readonly canDrop: boolean;
  readonly notices: ClientNotices;
  buckets: BucketCells;
  /** Messages above a limit, whatever was done with them. */
  limited: number;
  readonly limitedNews: LimitedNews;
}

const LIMITED_COUNTER = {
  delay: Counter.messagesDelayed,
  drop: Counter.messagesDropped,
  close: Counter.messagesClosedOn,
  log: Counter.messagesLogged,
} as const satisfies Record<OnExceed, number>;

export class Connections implements ConnectionObserver {
  readonly #options: ConnectionsOptions;
  /** By the id of the grant. */
  readonly #open = new Map<number, OpenConnection>();
  readonly #keepalive: Keepalive;
  /** How long clients have to leave before a drain's closes; null as long as there is no drain. */
  #graceMs: number | null = null;
  /** The goodbye to all; null as long as they stay. */
  #closes: PacedCloses<Connection> | null = null;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { activity, buffered, clock, reporter } = options;
    this.#keepalive = new Keepalive({
      activity,
      buffered,
      clock,
      dateMs: () => Date.now(),
      onRoundTrip: (grant, side, roundTripMs) => reporter.roundTrip(grant, side, roundTripMs),
    });
  }

  get all(): Iterable<OpenConnection> {
    return this.#open.values();
  }

  /** By the ids of their grants. */
  entries(): Iterable<readonly [number, OpenConnection]> {
    return this.#open.entries();
  }

  find(id: number): OpenConnection | undefined {
    return this.#open.get(id);
  }

  /** The client has its 101: both sockets and the grant are the connection's from here. */
  start(upgrade: AdmittedUpgrade, dialed: Extract<Dialed, { kind: "switched" }>): void {
    const { settings, route, client, pending } = upgrade;
    const { timeouts } = settings.config;
    const extensions = joinedHeader(dialed.rawHeaders, "sec-websocket-extensions");
    const connection = new Connection({
      client: pending.socket,
      backend: dialed.socket,
      grant: dialed.grant,
      reservedBits: reservedBitsFor(extensions),
      closeTimeoutMs: timeouts.close,
      closeCodes: route.closeCodes,
      tokenExpiresAtMs: upgrade.passport.token?.expiresAtMs ?? null,
      cells: this.#options.cells,
      observer: this,
    });
    const open: OpenConnection = {
      connection,
      facts: {
        user: client.user,
        tier: client.tier,
        address: client.address,
        route: route.id,
        requestId: upgrade.requestId,
      },
      canDrop: canDropMessages(extensions),
      notices: new ClientNotices(joinedHeader(dialed.rawHeaders, "sec-websocket-protocol") ?? null),
      buckets: dialed.grant.buckets,
      limited: 0,
      limitedNews: new LimitedNews(),
    };
    this.#open.set(dialed.grant.id, open);
    this.#options.reporter.connectionOpened(dialed.grant, open.facts);
    this.#keepalive.start(connection);
    this.#limit(open);
    this.#options.taps.onOpened(dialed.grant.id, open);
    connection.start({ fromClient: pending.release(), fromBackend: dialed.head });
    if (this.#graceMs !== null) this.#announceDrain(open, this.#graceMs);
    this.#closes?.add(connection);
  }

  /** New settings: open connections follow them, their limits from the next message on. */
  configure(): void {
    const { timeouts, identity } = this.#options.settings().config;
    const { jwt } = identity;
    this.#keepalive.configure(timeouts, jwt?.closeOnExpiry === true ? jwt.leeway : null);
    for (const open of this.#open.values()) this.#limit(open);
  }

  changeBuckets(id: number, buckets: BucketCells): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    open.buckets = buckets;
    this.#limit(open);
  }

  /** @param words what the client is told in place of what the reason has */
  close(id: number, reason: CloseReasonName, words: CloseWords | null): void {
    this.#open.get(id)?.connection.close(reason, words);
  }

  /** Tells a client something, where its route has notices and its subprotocol bears them. Returns whether it does. */
  notify(open: OpenConnection, text: string): boolean {
    return open.notices.isAllowed(this.#noticesOf(open)) && open.connection.notify(text);
  }

  /** Tells the clients that they will be closed; those who come later hear it as they open. */
  announceDrain(graceMs: number): void {
    this.#graceMs = graceMs;
    for (const open of this.#open.values()) this.#announceDrain(open, graceMs);
  }

  /** Spread over a time. Those whose backend is still being dialled follow once they are open. */
  closeAll({ spreadMs, withinMs }: Extract<ToWorker, { type: "close-all" }>): void {
    const items = Array.from(this.#open.values(), ({ connection }) => connection);
    const { phase } = this.#options;
    const untilMs = performance.now() + withinMs;
    const close = (connection: Connection): void => connection.drain(untilMs);
    this.#closes?.stop();
    this.#closes = new PacedCloses({ items, spreadMs, withinMs, phase, close });
    this.#closes.start();
  }

  destroyAll(): void {
    for (const { connection } of this.#open.values()) connection.destroy();
  }

  /** Whoever is sent away for its age comes back at once, and may go elsewhere then. */
  onGoodbye({ grant }: Connection, reason: CloseReasonName): void {
    if (reason === "age") this.#options.desk.aged(grant);
  }

  onTeardown(connection: Connection, summary: ConnectionSummary): void {
    const { grant } = connection;
    const open = this.#open.get(grant.id);
    this.#open.delete(grant.id);
    this.#options.taps.onEnded(grant.id);
    this.#closes?.leave(connection);
    this.#keepalive.stop(connection);
    this.#options.desk.release(grant, summary);
    if (open !== undefined) this.#options.reporter.connectionEnded(grant, open.facts, summary, open.limited);
  }

  onLimited({ grant }: Connection, action: OnExceed, messages: number, retryAfterMs: number): void {
    const open = this.#open.get(grant.id);
    if (open === undefined) return;
    const cell = grant.counterSlot + LIMITED_COUNTER[action];
    // What comes behind the one that ends the connection is not looked at, whether it is in the same chunk or not.
    const counted = action === "close" ? 1 : messages;
    this.#options.cells[cell] = (this.#options.cells[cell] ?? 0) + counted;
    open.limited += counted;
    const { reporter, settings } = this.#options;
    const nowMs = performance.now();
    const told = action === "log" ? open.limitedNews.add(messages, nowMs) : null;
    if (told !== null) reporter.messagesOverLimit(grant, { ...open.facts, messages: told });
    if (action !== "drop") return;
    if (settings().config.limits.abuse !== null) reporter.messagesDropped(grant.id, messages, open.facts);
    const text = open.notices.limited(this.#noticesOf(open), retryAfterMs, nowMs);
    if (text !== null) open.connection.notify(text);
  }

  onDelayed(_connection: Connection, delayMs: number): void {
    this.#options.reporter.messageDelayed(delayMs);
  }

  onProtocolError({ grant }: Connection, side: "client" | "backend", error: ProtocolError): void {
    this.#options.reporter.log(side === "client" ? "info" : "warn", "protocol error", {
      side,
      error: error.code,
      reason: error.message,
      address: this.#open.get(grant.id)?.facts.address,
      pool: grant.pool,
      backend: grant.backend,
    });
  }

  #announceDrain(open: OpenConnection, graceMs: number): void {
    const text = open.notices.draining(this.#noticesOf(open), graceMs);
    if (text !== null) open.connection.notify(text);
  }

  #noticesOf({ facts }: OpenConnection): NoticesConfig | null {
    return this.#options.settings().routes.find(facts.route)?.notices ?? null;
  }

  #limit({ connection, facts, buckets, canDrop }: OpenConnection): void {
    const { buckets: view, clock } = this.#options;
    const limits = limitsOf({ ...facts, buckets, canDrop }, this.#options.settings(), view);
    connection.limit(limits, () => clock.nowNs());
  }
}
