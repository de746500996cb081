// Advice to whoever sets Weir up: what seems to be amiss, with the words that mend it. Each is given once.

import type { Log } from "../log.ts";
import type { HintFields } from "../shared-memory/channel.ts";

/** Topics name routes and pools, which reloads may bring and take for ever. */
const MAX_TOPICS = 1_000;

export class Hints {
  readonly #log: Log;
  readonly #told = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  give(topic: string, message: string, fields: HintFields): void {
    if (this.#told.has(topic) || this.#told.size === MAX_TOPICS) return;
    this.#told.add(topic);
    this.#log.warn(message, fields);
  }
}
