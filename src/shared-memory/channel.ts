// The typed messages between the control plane and one data-plane thread, and the channel that carries
// them in batches. Order is kept in each direction: a grant never overtakes the configuration it needs.

import type { Config } from "../config/schema.ts";
import type { TlsFiles } from "../config/tls-files.ts";
import type { ErrorCode } from "../errors.ts";
import type { LogFields, LogLevel } from "../log.ts";
import type { Answer, Question } from "./questions.ts";
import type { TapFilter, TappedBatch } from "./tapped-frame.ts";

/** Where a worker is to listen; `port` is 0 only for the first worker, which reports the port it got. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly reusePort: boolean }
  | {
      readonly kind: "unix";
      readonly path: string;
      /** Another process is to be found at the path until `publish`. */
      readonly isHeldBack: boolean;
    };

/** Asks for a place: a connection slot of a pool's backend, or for a plain request just its choice. */
export interface AdmitRequest {
  /** Unique within its worker; the grant keeps it until its release. */
  readonly id: number;
  readonly kind: "connection" | "request";
  readonly pool: string;
  /** Id of the route. */
  readonly route: string;
  readonly tier: string;
  readonly user: string;
  /** Value of Weir's own affinity cookie for the pool, as the client sent it. */
  readonly cookie: string | null;
  /** The user is an address that many clients may share (a forwarder that is not trusted): no ground for affinity. */
  readonly isSharedAddress: boolean;
  /** The client's, such as `192.0.2.0/24`: failures that it may have provoked are counted by it. */
  readonly network: string;
  /** Of a plain request: ids of the backends that have failed it so far. */
  readonly tried: readonly string[];
}

/** The cells that a connection spends from; null where nothing is limited. */
export interface BucketCells {
  readonly tier: number | null;
  readonly bytes: number | null;
  readonly route: number | null;
}

export interface Grant {
  readonly id: number;
  readonly pool: string;
  readonly backend: string;
  /** Id of the configured backend; another than `backend` where that is one address of a name (`resolve: all`). */
  readonly target: string;
  /** IP addresses of the backend's name, in the order to try; null where they are not known or not needed. */
  readonly addresses: readonly string[] | null;
  /** Value of the affinity cookie that the client is to get; null where it has it, or the pool sets none. */
  readonly cookie: string | null;
  /** First cell of the grant's counters (tier and pool). */
  readonly counterSlot: number;
  readonly buckets: BucketCells;
  /** Where the worker writes when the client was last heard of; null for a plain request. */
  readonly activityCell: number | null;
}

/** Who ended a connection, and how it is counted. */
export interface ConnectionEnd {
  /** 1005 for an empty Close, 1006 for a side gone without one. */
  readonly code: number;
  readonly by: "client" | "backend" | "weir";
  /** Reason label of the contract's table, or `close` for an ordinary closing handshake. */
  readonly reason: string;
}

/** One access line's facts about a connection that is over. */
export interface ConnectionSummary extends ConnectionEnd {
  readonly durationMs: number;
  readonly messagesToBackend: number;
  readonly messagesToClient: number;
  readonly bytesToBackend: number;
  readonly bytesToClient: number;
}

/** Times from a Ping of Weir's to its Pong. */
export interface RoundTrips {
  readonly pool: string;
  readonly backend: string;
  readonly side: "client" | "backend";
  readonly roundTripsMs: readonly number[];
}

/**
 * What a backend did wrong, as `weir_backend_failures_total` labels it:
 * - `connect`: it could not be reached
 * - `timeout`: no connection or no answer in time
 * - `malformed`: its answer to an upgrade is not HTTP, not RFC 6455, or not there when it closes
 * - `status`: it answered an upgrade with 502, 503 or 504
 * - `lost`: an open connection ended without a Close
 */
export type FailureKind = "connect" | "timeout" | "malformed" | "status" | "lost";

/** `fix` is the YAML or the command that helps. */
export type HintFields = LogFields & { readonly fix: string };

/** Why the control plane ends a single connection. */
export type CloseOrder = "abuse" | "admin" | "replaced" | "backend_draining" | "backend_lost";

/** What the client is told in place of what the order's reason has; null: just that. */
export interface CloseWords {
  readonly code: number | null;
  readonly text: string | null;
}

export type ToWorker =
  | {
      readonly type: "configure";
      readonly version: number;
      readonly config: Config;
      readonly files: TlsFiles;
    }
  /** What TLS session tickets are encrypted with from now on, in every thread. */
  | { readonly type: "ticket-keys"; readonly keys: Uint8Array }
  | { readonly type: "listen"; readonly listener: number; readonly address: ListenAddress }
  | { readonly type: "granted"; readonly grant: Grant }
  | { readonly type: "refused"; readonly id: number; readonly code: ErrorCode }
  /** Comes before any grant that names a cell of it. */
  | { readonly type: "bucket-segment"; readonly segment: SharedArrayBuffer }
  /** A reload has changed what an open connection spends from. */
  | { readonly type: "buckets"; readonly id: number; readonly buckets: BucketCells }
  /** Unix sockets that were held back get their paths. */
  | { readonly type: "publish" }
  /** Accept no more; what was accepted has this long to send its first request. */
  | { readonly type: "stop-accepting"; readonly withinMs: number }
  /** The answer to `enter` or `ask-readiness`. */
  | { readonly type: "verdict"; readonly id: number; readonly isSo: boolean }
  | { readonly type: "stop-listening" }
  | {
      readonly type: "close";
      readonly id: number;
      readonly reason: CloseOrder;
      readonly words: CloseWords | null;
    }
  /** `idPrefix` goes before the ids of the thread's connections, which are its own otherwise. */
  | { readonly type: "tap"; readonly id: number; readonly filter: TapFilter; readonly idPrefix: string }
  | { readonly type: "untap"; readonly id: number }
  /** The batch that a tap sent last has arrived. */
  | { readonly type: "tapped-arrived"; readonly id: number }
  | { readonly type: "question"; readonly id: number; readonly question: Question }
  /** Weir is about to shut down: clients are told so where their route has a notice. */
  | { readonly type: "announce-drain"; readonly graceMs: number }
  /** Evenly over `spreadMs`, and however it goes within `withinMs`. */
  | {
      readonly type: "close-all";
      readonly reason: "draining";
      readonly spreadMs: number;
      readonly withinMs: number;
    }
  | { readonly type: "destroy-all" };

export type ToControl =
  | { readonly type: "configured"; readonly version: number; readonly error: string | null }
  | { readonly type: "listening"; readonly listener: number; readonly port: number }
  | { readonly type: "listen-failed"; readonly listener: number; readonly code: string }
  /** `error` is null, or that of the file system. */
  | { readonly type: "published"; readonly error: string | null }
  | { readonly type: "stopped-accepting" }
  | { readonly type: "stopped-listening" }
  | { readonly type: "admit"; readonly request: AdmitRequest }
  /** May an upgrade from this address go on? Its place is held until `leave`. */
  | { readonly type: "enter"; readonly id: number; readonly address: string }
  | { readonly type: "leave"; readonly id: number }
  /** Would `/readyz` say yes? */
  | { readonly type: "ask-readiness"; readonly id: number; readonly pool: string | null }
  | { readonly type: "exchange"; readonly id: number; readonly failure: ErrorCode }
  | { readonly type: "opened"; readonly id: number; readonly handshakeMs: number }
  /** A connection ends for its age: its client is about to come back. */
  | { readonly type: "aged"; readonly id: number }
  | { readonly type: "release"; readonly id: number; readonly summary: ConnectionSummary | null }
  | {
      readonly type: "upgrade-refused";
      readonly pool: string | null;
      readonly code: ErrorCode;
      readonly status: number | null;
    }
  /** A connection's messages were dropped. */
  | {
      readonly type: "dropped";
      readonly id: number;
      readonly messages: number;
      readonly address: string;
    }
  /** Messages were let through after these waits. */
  | { readonly type: "delays"; readonly delaysMs: readonly number[] }
  | { readonly type: "round-trips"; readonly roundTrips: readonly RoundTrips[] }
  | { readonly type: "dial-retried"; readonly pool: string }
  /** Not for what a client caused, nor for a lack of our own resources. */
  | {
      readonly type: "backend-failed";
      readonly pool: string;
      readonly backend: string;
      readonly kind: FailureKind;
      readonly network: string;
    }
  | ({ readonly type: "tapped" } & TappedBatch)
  | { readonly type: "answer"; readonly id: number; readonly answer: Answer }
  | { readonly type: "request-ended"; readonly pool: string | null; readonly status: number }
  /** While draining: at its beginning, and whenever the number changes. */
  | { readonly type: "requests-in-flight"; readonly requests: number }
  /** Something to mend in the configuration: logged once for each topic, whichever thread finds it. */
  | {
      readonly type: "hint";
      readonly topic: string;
      readonly message: string;
      readonly fields: HintFields;
    }
  | {
      readonly type: "log";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
    };

/** The part of a MessagePort or Worker that a channel uses. */
interface Port {
  postMessage(value: unknown): void;
}

/** How long news that nobody waits for may wait for company. */
const UNHURRIED_DELAY_MS = 3;

/** Under load, batches leave this far apart at the least. */
const MIN_BATCH_INTERVAL_MS = 2;

/**
 * Sends messages in batches, in order. Waking the other thread costs far more than carrying a message,
 * so what one turn of the event loop posts leaves together, and a busy channel sends every 2 ms.
 */
export class Channel<Outgoing> {
  readonly #port: Port;
  #batch: Outgoing[] = [];
  #flush: NodeJS.Immediate | null = null;
  #delayedFlush: NodeJS.Timeout | null = null;
  #sentAtMs = 0;

  constructor(port: Port) {
    this.#port = port;
  }

  /** Sends at the end of this turn; on a busy channel a moment later, with whatever has come by then. */
  post(message: Outgoing): void {
    this.#batch.push(message);
    if (this.#flush !== null) return;
    if (performance.now() - this.#sentAtMs >= MIN_BATCH_INTERVAL_MS) {
      this.#flush = setImmediate(() => this.#send());
    } else {
      this.#delay(MIN_BATCH_INTERVAL_MS);
    }
  }

  /** Sends with the next message that is posted, or after 3 ms. */
  postUnhurried(message: Outgoing): void {
    this.#batch.push(message);
    if (this.#flush === null) this.#delay(UNHURRIED_DELAY_MS);
  }

  #delay(delayMs: number): void {
    this.#delayedFlush ??= setTimeout(() => this.#send(), delayMs);
  }

  #send(): void {
    if (this.#flush !== null) clearImmediate(this.#flush);
    if (this.#delayedFlush !== null) clearTimeout(this.#delayedFlush);
    this.#flush = null;
    this.#delayedFlush = null;
    const batch = this.#batch;
    this.#batch = [];
    this.#sentAtMs = performance.now();
    this.#port.postMessage(batch);
  }
}
