// Tells the control plane what happened, for the log and the metrics.

import type { IncomingMessage } from "node:http";
import { Refusal } from "../errors.ts";
import type { LogFields, LogLevel } from "../log.ts";
import type {
  Channel,
  ConnectionSummary,
  FailureKind,
  Grant,
  RoundTrips,
  ToControl,
} from "../shared-memory/channel.ts";
import { Hints } from "./hints.ts";

/** A client that left or misbehaves is everyday life; a failing backend or Weir itself is not. */
const LEVEL_BY_ORIGIN = { client: "info", backend: "warn", weir: "warn", config: "error" } as const;

/** Made once: a flood of them is no time for stack traces. */
const CUT_BEFORE_ITS_HEAD = new Refusal("head_timeout");

const DELAY_BATCH_MS = 100;

/** Nobody waits for these, and waking the other thread costs more than a ping. */
const ROUND_TRIP_BATCH_MS = 1_000;

/** What is known of a request by the time it is over: more, the further it came. */
export interface RequestFacts {
  /** Null where no route was found. */
  pool: string | null;
  route?: string;
  user?: string;
  tier?: string;
  /** The client's, or that of the peer as long as no more is known. */
  address: string | undefined;
  requestId?: string;
}

export class Reporter {
  readonly hints: Hints;
  readonly #channel: Channel<ToControl>;
  readonly #isAccessLogged: () => boolean;
  #delaysMs: number[] = [];
  /** By side, pool and backend. */
  readonly #roundTrips = new Map<string, RoundTrips & { readonly roundTripsMs: number[] }>();

  /** @param isAccessLogged `log.access`, which a reload may change */
  constructor(channel: Channel<ToControl>, isAccessLogged: () => boolean) {
    this.#channel = channel;
    this.hints = new Hints(channel);
    this.#isAccessLogged = isAccessLogged;
  }

  upgradeRefused(refusal: Refusal, { headers }: IncomingMessage, facts: RequestFacts): void {
    this.#countRefusal(facts.pool, refusal);
    this.#refused("upgrade refused", refusal, { ...known(facts), host: headers.host });
  }

  /** Bytes that never became a request. */
  bytesRefused(refusal: Refusal, address: string | undefined): void {
    this.#countRefusal(null, refusal);
    this.#refused("request refused", refusal, { address });
  }

  /** A client's socket was cut for lack of files; in time it might have asked, or asked for more. */
  socketCut(hasAsked: boolean): void {
    this.hints.filesTaken();
    if (!hasAsked) this.#countRefusal(null, CUT_BEFORE_ITS_HEAD);
  }

  requestRefused(refusal: Refusal, facts: RequestFacts): void {
    this.#refused("request refused", refusal, known(facts));
  }

  /** The access line of a plain request that was answered by a backend, or whose client left. */
  requestAnswered(facts: RequestFacts, answer: LogFields): void {
    if (this.#isAccessLogged()) this.log("info", "request ended", { ...known(facts), ...answer });
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

  /** The access line at a connection's start. */
  connectionOpened({ pool, backend }: Grant, facts: LogFields): void {
    if (this.#isAccessLogged()) this.log("info", "connection opened", { pool, backend, ...facts });
  }

  /** The access line at its end. */
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
      reason: refusal.reason,
      ...fields,
      ...(refusal.code === "internal" && cause instanceof Error ? { stack: cause.stack } : {}),
    });
  }
}

function known({ pool, ...facts }: RequestFacts): LogFields {
  return { ...facts, pool: pool ?? undefined };
}
