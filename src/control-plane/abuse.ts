// `limits.abuse`: notices users whose messages are dropped too often. Delayed messages are no violations.

import type { AbuseConfig } from "../config/schema-limits.ts";

/** The window is kept in so many parts; what happens within one of them counts as one moment. */
const PARTS_OF_WINDOW = 1_000;

interface Violations {
  readonly entries: { atMs: number; count: number }[];
  sum: number;
}

export class AbuseWatch {
  #config: AbuseConfig | null;
  readonly #byUser = new Map<string, Violations>();

  constructor(config: AbuseConfig | null) {
    this.#config = config;
  }

  /** Users with violations within the window, or not yet swept. */
  get size(): number {
    return this.#byUser.size;
  }

  configure(config: AbuseConfig | null): void {
    this.#config = config;
    if (config === null) this.#byUser.clear();
  }

  /** Null: still within bounds. Else what is to be done with the user, who starts anew after it. */
  record(user: string, count: number, nowMs: number): { violations: number; banMs: number } | null {
    if (this.#config === null) return null;
    const { violations, window, ban } = this.#config;
    let known = this.#byUser.get(user);
    if (known === undefined) this.#byUser.set(user, (known = { entries: [], sum: 0 }));
    const last = known.entries.at(-1);
    if (last !== undefined && nowMs - last.atMs < window / PARTS_OF_WINDOW) last.count += count;
    else known.entries.push({ atMs: nowMs, count });
    known.sum += count;
    forgetBefore(known, nowMs - window);
    if (known.sum < violations) return null;
    this.#byUser.delete(user);
    return { violations: known.sum, banMs: ban };
  }

  /** Forgets users without violations in the window; called now and then by the owner. */
  sweep(nowMs: number): void {
    const windowMs = this.#config?.window ?? 0;
    for (const [user, known] of this.#byUser) {
      forgetBefore(known, nowMs - windowMs);
      if (known.entries.length === 0) this.#byUser.delete(user);
    }
  }
}

function forgetBefore(known: Violations, beforeMs: number): void {
  const { entries } = known;
  const kept = entries.findIndex(({ atMs }) => atMs > beforeMs);
  const expired = kept === -1 ? entries.length : kept;
  for (const { count } of entries.splice(0, expired)) known.sum -= count;
}
