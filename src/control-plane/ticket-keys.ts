// The keys that all threads encrypt TLS session tickets with, so that a client can resume its session
// whichever of them accepts it. They are made anew now and then: who learns of one reads little with it.

import { randomBytes } from "node:crypto";

/** What Node's `setTicketKeys` takes: a name and two keys. */
const KEY_BYTES = 48;

/** A session lasts minutes, so that few are cut short: Node accepts tickets of one key only. */
const ROTATION_INTERVAL_MS = 3_600_000;

export class TicketKeys {
  readonly #timer: NodeJS.Timeout;
  #current = randomBytes(KEY_BYTES);

  /** @param onRotation told of the new keys */
  constructor(onRotation: (keys: Uint8Array) => void, intervalMs = ROTATION_INTERVAL_MS) {
    this.#timer = setInterval(() => {
      this.#current = randomBytes(KEY_BYTES);
      onRotation(this.#current);
    }, intervalMs);
  }

  get current(): Uint8Array {
    return this.#current;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
