// Gives every message of the worker threads its meaning: admission answers, the log writes, the
// observer counts.

import type { ErrorCode } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ConnectionSummary, ToControl } from "../shared-memory/channel.ts";
import type { Admission, Decision } from "./admission.ts";
import type { Thread } from "./workers.ts";

/** Who counts what happens; the metrics. */
export interface TrafficObserver {
  upgradeOpened(pool: string, handshakeMs: number): void;
  /** @param pool null where no route was found */
  upgradeRefused(pool: string | null, code: ErrorCode): void;
  dialRetried(pool: string): void;
  connectionEnded(pool: string, summary: ConnectionSummary): void;
  requestEnded(pool: string | null, status: number): void;
}

export class Dispatcher {
  readonly #admission: Admission;
  readonly #log: Log;
  readonly #observer: TrafficObserver;

  constructor(admission: Admission, log: Log, observer: TrafficObserver) {
    this.#admission = admission;
    this.#log = log;
    this.#observer = observer;
  }

  onMessage(thread: Thread, message: ToControl): void {
    switch (message.type) {
      case "admit":
        return this.#answer(
          thread,
          message.request.id,
          this.#admission.admit(thread.serial, message.request),
        );
      case "exchange":
        return this.#answer(
          thread,
          message.id,
          this.#admission.exchange(thread.serial, message.id, message.failure),
        );
      case "opened": {
        const pool = this.#admission.open(thread.serial, message.id);
        if (pool !== null) this.#observer.upgradeOpened(pool, message.handshakeMs);
        return;
      }
      case "release": {
        const released = this.#admission.release(thread.serial, message.id);
        if (released !== null && message.summary !== null) {
          this.#observer.connectionEnded(released.pool, message.summary);
        }
        return;
      }
      case "upgrade-refused":
        return this.#observer.upgradeRefused(message.pool, message.code);
      case "dial-retried":
        return this.#observer.dialRetried(message.pool);
      case "request-ended":
        return this.#observer.requestEnded(message.pool, message.status);
      case "log":
        return this.#log[message.level](message.message, message.fields);
      case "configured":
      case "listening":
      case "listen-failed":
      case "stopped-listening":
        // Answers to questions of `Workers`, which takes them before they come here.
        return;
      default:
        return message satisfies never;
    }
  }

  onDeath(thread: Thread): void {
    const released = this.#admission.releaseWorker(thread.serial);
    if (released > 0) {
      this.#log.warn("connections ended with their worker thread", {
        thread: thread.index,
        connections: released,
      });
    }
  }

  #answer(thread: Thread, id: number, decision: Decision): void {
    if ("grant" in decision) thread.channel.post({ type: "granted", grant: decision.grant });
    else thread.channel.post({ type: "refused", id, code: decision.refused });
  }
}
