// The text that tells a client that a message of its was dropped: only where the route has one, only to
// clients whose subprotocol can take a foreign text, and at most once a second.

import type { NoticesConfig } from "../config/schema-routes.ts";

const MIN_INTERVAL_MS = 1_000;

/** Whether a connection with this subprotocol (null for none) gets the route's notices. */
function allowsNotices(notices: NoticesConfig, subprotocol: string | null): boolean {
  return subprotocol === null || notices.subprotocols.includes(subprotocol);
}

export class LimitNotice {
  readonly #subprotocol: string | null;
  #sentAtMs = Number.NEGATIVE_INFINITY;

  /** @param subprotocol that the backend selected; null for none */
  constructor(subprotocol: string | null) {
    this.#subprotocol = subprotocol;
  }

  /** The text to send now; null for none. */
  textFor(notices: NoticesConfig | null, retryAfterMs: number, nowMs: number): string | null {
    if (notices === null || notices.limited === null || !allowsNotices(notices, this.#subprotocol))
      return null;
    if (nowMs - this.#sentAtMs < MIN_INTERVAL_MS) return null;
    this.#sentAtMs = nowMs;
    return notices.limited.replaceAll("{{retryAfterMs}}", String(Math.ceil(retryAfterMs)));
  }
}
