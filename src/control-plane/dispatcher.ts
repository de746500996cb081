// Gives every message of the worker threads its meaning: admission answers, the log writes, the
// observer counts.

import type { ErrorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import type { AdmitRequest, ConnectionSummary, RoundTrips, ToControl } from "../shared-memory/channel.ts";
import type { AbuseWatch } from "./abuse.ts";
import type { AddressLimits } from "./address-limits.ts";
import type { Admission, Decision } from "./admission.ts";
import type { Fleet } from "./fleet.ts";
import type { Hints } from "./hints.ts";
import type { Questions } from "./questions.ts";
import { SecondLooks } from "./second-looks.ts";
import type { Taps } from "./taps.ts";
import type { Thread } from "./thread.ts";

/** Refusals for want of a place. */
const FULL: ReadonlySet<ErrorCode> = new Set(["connections_full", "tier_full", "user_full", "backends_full"]);

/** How a connection ended, and how long after its 101. */
export type TimedEnd = Pick<ConnectionSummary, "code" | "by" | "reason" | "durationMs">;

/** Who counts what happens, such as the metrics. */
export interface TrafficObserver {
  upgradeOpened(pool: string, handshakeMs: number): void;
  /**
   * @param pool null where no route was found
   * @param status of the answer; null where nobody was left to answer
   */
  upgradeRefused(pool: string | null, code: ErrorCode, status: number | null): void;
  dialRetried(pool: string): void;
  connectionEnded(pool: string, end: TimedEnd): void;
  requestEnded(pool: string | null, status: number): void;
  messagesDelayed(delaysMs: readonly number[]): void;
  peersAnswered(roundTrips: readonly RoundTrips[]): void;
}

interface DispatcherOptions {
  readonly admission: Admission;
  readonly abuse: AbuseWatch;
  readonly addresses: Pick<AddressLimits, "enter" | "isFull" | "leave" | "releaseWorker">;
  readonly fleet: Pick<Fleet, "failed" | "lost" | "answered">;
  readonly questions: Pick<Questions, "onAnswer" | "onDeath">;
  readonly taps: Pick<Taps, "onTapped" | "onDeath">;
  readonly log: Log;
  readonly hints: Pick<Hints, "give">;
  readonly observers: readonly Partial<TrafficObserver>[];
  /** Whether Weir serves, and a backend of the pool is up where one is named. */
  readonly isReady: (pool: string | null) => boolean;
  /** Ends one connection. */
  readonly close: (worker: number, id: number, reason: "abuse" | "admin") => void;
  /** Resolves when all threads have told what they had to. */
  readonly catchUp: () => Promise<void>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #secondLooks: SecondLooks;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#secondLooks = new SecondLooks(options);
  }

  onMessage(thread: Thread, message: ToControl): void {
    switch (message.type) {
      case "admit":
        return this.#onAdmit(thread, message.request);
      case "enter":
        return this.#onEnter(thread, message);
      case "leave":
        return this.#onLeft(thread, message.id);
      case "ask-readiness": {
        const isSo = this.#options.isReady(message.pool);
        return thread.channel.post({ type: "verdict", id: message.id, isSo });
      }
      case "exchange":
        return answer(
          thread,
          message.id,
          this.#options.admission.exchange(thread.serial, message.id, message.failure),
        );
      case "opened":
        return this.#onOpened(thread, message);
      case "aged":
        return this.#options.admission.aged(thread.serial, message.id);
      case "release":
        return this.#onReleased(thread, message);
      case "upgrade-refused":
        return this.#tell((one) => one.upgradeRefused?.(message.pool, message.code, message.status));
      case "dropped":
        return this.#onDropped(thread, message);
      case "delays":
        return this.#tell((one) => one.messagesDelayed?.(message.delaysMs));
      case "round-trips":
        this.#options.fleet.answered(message.roundTrips);
        return this.#tell((one) => one.peersAnswered?.(message.roundTrips));
      case "dial-retried":
        return this.#tell((one) => one.dialRetried?.(message.pool));
      case "backend-failed":
        return this.#options.fleet.failed(message.pool, message.backend, message.kind, message.network);
      case "request-ended":
        return this.#tell((one) => one.requestEnded?.(message.pool, message.status));
      case "requests-in-flight":
        return this.#options.admission.requests.set(thread.serial, message.requests);
      case "tapped":
        return this.#options.taps.onTapped(thread, message);
      case "answer":
        return this.#options.questions.onAnswer(message.id, message.answer);
      case "hint":
        return this.#options.hints.give(message.topic, message.message, message.fields);
      case "log":
        return this.#options.log[message.level](message.message, message.fields);
      case "configured":
      case "listening":
      case "listen-failed":
      case "published":
      case "stopped-accepting":
      case "stopped-listening":
        // Answers to questions of `Workers`, which takes them before they come here.
        return;
      default:
        return message satisfies never;
    }
  }

  onDeath(thread: Thread): void {
    this.#options.questions.onDeath(thread);
    this.#secondLooks.onDeath(thread);
    this.#options.taps.onDeath(thread);
    const { admission, addresses, now } = this.#options;
    addresses.releaseWorker(thread.serial);
    // Nobody is left to tell how they ended: their sockets are gone with the thread.
    for (const { pool, openedAtMs } of admission.places.openOfWorker(thread.serial)) {
      const durationMs = now() - openedAtMs;
      const end: TimedEnd = { code: 1006, by: "weir", reason: "thread_lost", durationMs };
      this.#tell((one) => one.connectionEnded?.(pool, end));
    }
    const released = admission.releaseWorker(thread.serial);
    if (released > 0) {
      this.#options.log.warn("connections ended with their worker thread", {
        thread: thread.index,
        connections: released,
      });
    }
  }

  #tell(news: (observer: Partial<TrafficObserver>) => void): void {
    for (const observer of this.#options.observers) news(observer);
  }

  #onEnter(thread: Thread, { id, address }: Extract<ToControl, { type: "enter" }>): void {
    const { addresses } = this.#options;
    const enter = (): void => {
      const isSo = addresses.enter(thread.serial, id, address);
      thread.channel.post({ type: "verdict", id, isSo });
    };
    if (addresses.isFull(address)) this.#secondLooks.add(thread, id, enter);
    else enter();
  }

  #onLeft(thread: Thread, id: number): void {
    // It is not let in any more, and its thread waits to be told.
    if (this.#secondLooks.leave(thread, id)) thread.channel.post({ type: "verdict", id, isSo: false });
    this.#options.addresses.leave(thread.serial, id);
  }

  #onAdmit(thread: Thread, request: AdmitRequest): void {
    const { admission } = this.#options;
    const decision = admission.admit(thread.serial, request);
    if (decision === null) return;
    const refused = "refused" in decision ? decision.refused : null;
    if (refused === null || !FULL.has(refused)) return answer(thread, request.id, decision);
    this.#secondLooks.add(thread, request.id, () => {
      // Only who has had its turn learns that all backends are full.
      const hasHadTurn = refused === "backends_full";
      const second = hasHadTurn
        ? admission.admitBehindTurn(thread.serial, request)
        : admission.admit(thread.serial, request);
      if (second !== null) answer(thread, request.id, second);
    });
  }

  #onReleased(thread: Thread, { id, summary }: Extract<ToControl, { type: "release" }>): void {
    const { admission, fleet } = this.#options;
    this.#secondLooks.leave(thread, id);
    const network = admission.find(thread.serial, id)?.network;
    const slot = admission.release(thread.serial, id);
    if (slot === null || network === undefined || summary === null) return;
    this.#tell((one) => one.connectionEnded?.(slot.pool.name, summary));
    if (summary.reason === "backend_lost" && summary.by === "backend") fleet.lost(slot, network);
  }

  #onOpened(thread: Thread, { id, handshakeMs }: Extract<ToControl, { type: "opened" }>): void {
    const { admission, close, now } = this.#options;
    const pool = admission.open(thread.serial, id);
    if (pool === null) return;
    this.#tell((one) => one.upgradeOpened?.(pool, handshakeMs));
    // Its user was banned while it waited or was dialled: there was nothing to close yet.
    const user = admission.find(thread.serial, id)?.user;
    const ban = user === undefined ? null : admission.bans.find(user, now());
    if (ban !== null) close(thread.serial, id, ban.by);
  }

  /** Dropped messages are violations; too many of them end all of the user's connections, and ban it. */
  #onDropped(thread: Thread, { id, messages, address }: Extract<ToControl, { type: "dropped" }>): void {
    const { admission, abuse, log, close, now } = this.#options;
    const request = admission.find(thread.serial, id);
    if (request === undefined) return;
    const { user, tier, route } = request;
    const verdict = abuse.record(user, messages, now());
    if (verdict === null) return;
    const { violations, banMs } = verdict;
    admission.bans.ban(user, now() + banMs);
    const connections = admission.connectionsOf(user);
    log.warn("user banned for abuse", {
      user,
      tier,
      address,
      route,
      violations,
      connections: connections.length,
      banMs,
    });
    for (const one of connections) close(one.worker, one.id, "abuse");
  }
}

/** Tells a worker thread what became of its question. */
export function answer(thread: Thread, id: number, decision: Decision): void {
  if ("grant" in decision) thread.channel.post({ type: "granted", grant: decision.grant });
  else thread.channel.post({ type: "refused", id, code: decision.refused });
}
