// Tells the control plane what happened, for the log and the metrics.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { RouteConfig } from "../config/schema.ts";
import type { Refusal } from "../errors.ts";
import type { LogFields, LogLevel } from "../log.ts";
import type {
  Channel,
  ConnectionSummary,
  FailureKind,
  Grant,
  RoundTrips,
  ToControl,
} from "../shared-memory/channel.ts";
import { isSiteOrigin } from "./origins.ts";

/** A client that left or misbehaves is everyday life; a failing backend or Weir itself is not. */
const LEVEL_BY_ORIGIN = { client: "info", backend: "warn", weir: "warn", config: "error" } as const;

const DELAY_BATCH_MS = 100;

/** Nobody waits for these, and waking the other thread costs more than a ping. */
const ROUND_TRIP_BATCH_MS = 1_000;

export class Reporter {
  readonly #channel: Channel<ToControl>;
  readonly #isAccessLogged: () => boolean;
  #delaysMs: number[] = [];
  /** Routes of whose `origins` somebody was told. */
  readonly #hinted = new WeakSet<RouteConfig>();
  /** By side, pool and backend. */
  readonly #roundTrips = new Map<string, RoundTrips & { readonly roundTripsMs: number[] }>();

  /** @param isAccessLogged `log.access`, which a reload may change */
  constructor(channel: Channel<ToControl>, isAccessLogged: () => boolean) {
    this.#channel = channel;
    this.#isAccessLogged = isAccessLogged;
  }

  upgradeRefused(event: {
    readonly refusal: Refusal;
    readonly request: IncomingMessage;
    readonly socket: Socket;
    readonly pool: string | null;
  }): void {
    const { refusal, request, socket, pool } = event;
    this.#countRefusal(pool, refusal);
    this.#refused("upgrade refused", refusal, { address: socket.remoteAddress, host: request.headers.host });
  }

  /** Bytes that never became a request. */
  bytesRefused(refusal: Refusal, address: string | undefined): void {
    this.#countRefusal(null, refusal);
    this.#refused("request refused", refusal, { address });
  }

  requestRefused(refusal: Refusal, address: string | undefined): void {
    this.#refused("request refused", refusal, { address });
  }

  /** A page may not connect: mostly because nobody thought of it, so it is told what to add. */
  originRefused(route: RouteConfig, origin: string): void {
    if (this.#hinted.has(route) || !isSiteOrigin(origin)) return;
    this.#hinted.add(route);
    const origins = JSON.stringify([...(route.origins ?? []), origin]);
    this.#channel.postUnhurried({
      type: "hint",
      topic: `origins of ${route.id}`,
      message: "a page of an origin that is not listed could not connect",
      fields: {
        route: route.id,
        origin,
        fix: `if that page is yours, let its route have origins: ${origins}`,
      },
    });
  }

  requestEnded(pool: string | null, status: number): void {
    this.#channel.postUnhurried({ type: "request-ended", pool, status });
  }

  dialRetried({ pool, backend }: Grant, failure: Refusal): void {
    this.#channel.postUnhurried({ type: "dial-retried", pool });
    this.log("warn", "dial failed, trying another backend", {
      pool,
      backend,
      code: failure.code,
      reason: failure.message,
    });
  }

  /** For what the backend is to blame for: no client's doing, and no lack of our own. */
  backendFailed({ pool, backend }: Grant, kind: FailureKind, network: string): void {
    this.#channel.postUnhurried({ type: "backend-failed", pool, backend, kind, network });
  }

  messagesDropped(id: number, messages: number, { address }: { readonly address: string }): void {
    this.#channel.postUnhurried({ type: "dropped", id, messages, address });
  }

  /** With `onExceed: log`: what a limit would have stopped. */
  messagesOverLimit({ pool, backend }: Grant, facts: LogFields): void {
    this.log("info", "messages above the limit let through", { pool, backend, ...facts });
  }

  /** Waits are told in batches: there may be thousands a second. */
  messageDelayed(delayMs: number): void {
    this.#delaysMs.push(delayMs);
    if (this.#delaysMs.length > 1) return;
    setTimeout(() => {
      this.#channel.postUnhurried({ type: "delays", delaysMs: this.#delaysMs });
      this.#delaysMs = [];
    }, DELAY_BATCH_MS);
  }

  /** Told in batches too. */
  roundTrip(
    { pool, backend }: Pick<Grant, "pool" | "backend">,
    side: "client" | "backend",
    roundTripMs: number,
  ): void {
    if (this.#roundTrips.size === 0) setTimeout(() => this.#sendRoundTrips(), ROUND_TRIP_BATCH_MS);
    const key = `${side}\n${pool}\n${backend}`;
    const known = this.#roundTrips.get(key);
    if (known === undefined) this.#roundTrips.set(key, { pool, backend, side, roundTripsMs: [roundTripMs] });
    else known.roundTripsMs.push(roundTripMs);
  }

  /** The access line. */
  connectionEnded(
    { pool, backend }: Grant,
    facts: LogFields,
    summary: ConnectionSummary,
    limited: number,
  ): void {
    if (!this.#isAccessLogged()) return;
    this.log("info", "connection closed", { pool, backend, ...facts, ...summary, limited });
  }

  log(level: LogLevel, message: string, fields: LogFields): void {
    this.#channel.postUnhurried({ type: "log", level, message, fields });
  }

  #sendRoundTrips(): void {
    this.#channel.postUnhurried({ type: "round-trips", roundTrips: [...this.#roundTrips.values()] });
    this.#roundTrips.clear();
  }

  #countRefusal(pool: string | null, { code, status }: Refusal): void {
    this.#channel.postUnhurried({ type: "upgrade-refused", pool, code, status });
  }

  #refused(message: string, refusal: Refusal, fields: LogFields): void {
    const { cause } = refusal;
    const level = refusal.code === "internal" ? "error" : LEVEL_BY_ORIGIN[refusal.origin];
    this.log(level, message, {
      code: refusal.code,
      reason: refusal.message,
      ...fields,
      ...(refusal.code === "internal" && cause instanceof Error ? { stack: cause.stack } : {}),
    });
  }
}
