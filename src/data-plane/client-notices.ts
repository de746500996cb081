// The texts of Weir's own that a client may get: that a message of its was dropped, what an administrator has to
// say, and that Weir is about to shut down. Only where the route has one, and only for clients whose subprotocol can take a foreign text.

import type { NoticesConfig } from "../config/schema-routes.ts";

const MIN_INTERVAL_MS = 1_000;
const MS_PER_SECOND = 1_000;

export class ClientNotices {
  readonly #subprotocol: string | null;
  #limitedAtMs = Number.NEGATIVE_INFINITY;
  /** Who is asked to leave is told nothing else. */
  #isAskedToLeave = false;

  /** @param subprotocol that the backend selected; null for none */
  constructor(subprotocol: string | null) {
    this.#subprotocol = subprotocol;
  }

  /** What to send now that messages were dropped, at most once a second; null for nothing. */
  limited(notices: NoticesConfig | null, retryAfterMs: number, nowMs: number): string | null {
    if (notices === null || notices.limited === null || !this.#areAllowed(notices)) return null;
    if (this.#isAskedToLeave || nowMs - this.#limitedAtMs < MIN_INTERVAL_MS) return null;
    this.#limitedAtMs = nowMs;
    return notices.limited.replaceAll("{{retryAfterMs}}", String(Math.ceil(retryAfterMs)));
  }

  /** What to send at the beginning of a drain; null for nothing. */
  draining(notices: NoticesConfig | null, graceMs: number): string | null {
    if (notices === null || notices.draining === null || !this.#areAllowed(notices)) return null;
    this.#isAskedToLeave = true;
    return notices.draining.replaceAll("{{graceSeconds}}", String(Math.ceil(graceMs / MS_PER_SECOND)));
  }

  /** Whether the client may be told something else. */
  isAllowed(notices: NoticesConfig | null): boolean {
    return notices !== null && !this.#isAskedToLeave && this.#areAllowed(notices);
  }

  #areAllowed({ subprotocols }: NoticesConfig): boolean {
    return this.#subprotocol === null || subprotocols.includes(this.#subprotocol);
  }
}
