// Which buckets a connection spends from: its user's in its tier, for messages and for bytes, and its
// user's on its route. Only what the configuration limits has a bucket.

import type { Config } from "../config/schema.ts";
import type { AdmitRequest, BucketCells } from "../shared-memory/channel.ts";
import type { BucketTable } from "../shared-memory/bucket-table.ts";

/** Idle buckets that one sweep looks at. */
const SWEEP_STEPS = 2_000;

export const NO_BUCKETS: BucketCells = { tier: null, bytes: null, route: null };

export class UserBuckets {
  readonly #table: BucketTable;
  /** Nanoseconds on the clock of the buckets. */
  readonly #nowNs: () => number;
  #tiers: Config["tiers"] = {};
  #defaultTier = "";
  /** Ids of the routes that limit messages. */
  #limitedRoutes = new Set<string>();

  constructor(table: BucketTable, nowNs: () => number) {
    this.#table = table;
    this.#nowNs = nowNs;
  }

  configure({ tiers, routes }: Config): void {
    this.#tiers = tiers;
    this.#defaultTier = Object.entries(tiers).find(([, tier]) => tier.default)?.[0] ?? "";
    this.#limitedRoutes = new Set(routes.filter(({ messages }) => messages !== null).map(({ id }) => id));
  }

  /** Cells for a connection; those in `held` are kept, also where they are not limited any more. */
  acquire({ user, tier, route }: AdmitRequest, held: BucketCells = NO_BUCKETS): BucketCells {
    const limits = this.#tiers[tier] ?? this.#tiers[this.#defaultTier];
    const needs = {
      tier: (limits?.messages ?? null) !== null,
      bytes: (limits?.bytes ?? null) !== null,
      route: this.#limitedRoutes.has(route),
    };
    const lacksNone =
      (held.tier !== null || !needs.tier) &&
      (held.bytes !== null || !needs.bytes) &&
      (held.route !== null || !needs.route);
    if (lacksNone) return held;
    return {
      tier: held.tier ?? this.#cell(needs.tier, `messages\n${tier}\n${user}`),
      bytes: held.bytes ?? this.#cell(needs.bytes, `bytes\n${tier}\n${user}`),
      route: held.route ?? this.#cell(needs.route, `route\n${route}\n${user}`),
    };
  }

  release({ tier, bytes, route }: BucketCells): void {
    for (const cell of [tier, bytes, route]) {
      if (cell !== null) this.#table.release(cell, this.#nowNs());
    }
  }

  /** Forgets some of the idle buckets that are full again; many sweeps see all of them. */
  sweep(): void {
    this.#table.sweep(this.#nowNs(), SWEEP_STEPS);
  }

  #cell(isNeeded: boolean, key: string): number | null {
    return isNeeded ? this.#table.acquire(key, this.#nowNs()) : null;
  }
}
