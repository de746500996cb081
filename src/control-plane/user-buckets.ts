// Which buckets a connection spends from: its user's in its tier, for messages and for bytes, and its
// user's on its route. And lets its plain requests pass, by another one of their route. Only what the
// configuration limits has a bucket.

import type { Rate } from "../config/schema-limits.ts";
import type { Config } from "../config/schema.ts";
import type { AdmitRequest, BucketCells } from "../shared-memory/channel.ts";
import type { BucketTable } from "../shared-memory/bucket-table.ts";

/** Idle buckets that one sweep looks at. */
const SWEEP_STEPS = 2_000;

/** One bucket of a user, as it is at the moment. */
export interface BucketLevel {
  readonly of: "tier" | "bytes" | "route" | "requests";
  /** Name of the tier; of a route's buckets there is none. */
  readonly tier?: string;
  /** Id of the route. */
  readonly route?: string;
  /** Below 0 while it is in debt. */
  readonly tokens: number;
  readonly burst: number;
  readonly ratePerSecond: number;
}

export const NO_BUCKETS: BucketCells = { tier: null, bytes: null, route: null };

export class UserBuckets {
  readonly #table: BucketTable;
  /** Nanoseconds on the clock of the buckets. */
  readonly #nowNs: () => number;
  #tiers: Config["tiers"] = {};
  #defaultTier = "";
  /** Of the routes that limit messages, by their ids. */
  #limitedRoutes = new Map<string, Rate>();
  /** Of the routes that limit plain requests. */
  #requestLimits = new Map<string, Rate>();

  constructor(table: BucketTable, nowNs: () => number) {
    this.#table = table;
    this.#nowNs = nowNs;
  }

  configure({ tiers, routes }: Config): void {
    this.#tiers = tiers;
    this.#defaultTier = Object.entries(tiers).find(([, tier]) => tier.default)?.[0] ?? "";
    this.#limitedRoutes.clear();
    this.#requestLimits.clear();
    for (const { id, messages, requests } of routes) {
      if (messages !== null) this.#limitedRoutes.set(id, messages);
      if (requests !== null) this.#requestLimits.set(id, requests);
    }
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
      tier: held.tier ?? this.#cell(needs.tier, messagesKey(tier, user)),
      bytes: held.bytes ?? this.#cell(needs.bytes, bytesKey(tier, user)),
      route: held.route ?? this.#cell(needs.route, routeKey(route, user)),
    };
  }

  release({ tier, bytes, route }: BucketCells): void {
    for (const cell of [tier, bytes, route]) {
      if (cell !== null) this.#table.release(cell, this.#nowNs());
    }
  }

  /** Takes a token for one plain request; false where there is none. */
  takeRequest({ user, route }: AdmitRequest): boolean {
    const limit = this.#requestLimits.get(route);
    return limit === undefined || this.#table.take(requestsKey(route, user), limit, this.#nowNs());
  }

  /** The buckets that the user spends from, or has lately spent from, whatever its tier was. */
  levels(user: string): BucketLevel[] {
    const levels: BucketLevel[] = [];
    for (const [tier, { messages, bytes }] of Object.entries(this.#tiers)) {
      levels.push(...this.#level(messagesKey(tier, user), messages, { of: "tier", tier }));
      levels.push(...this.#level(bytesKey(tier, user), bytes, { of: "bytes", tier }));
    }
    for (const [route, limit] of this.#limitedRoutes) {
      levels.push(...this.#level(routeKey(route, user), limit, { of: "route", route }));
    }
    for (const [route, limit] of this.#requestLimits) {
      levels.push(...this.#level(requestsKey(route, user), limit, { of: "requests", route }));
    }
    return levels;
  }

  /** Forgets some of the idle buckets that are full again; many sweeps see all of them. */
  sweep(): void {
    this.#table.sweep(this.#nowNs(), SWEEP_STEPS);
  }

  #level(key: string, limit: Rate | null, name: Pick<BucketLevel, "of" | "tier" | "route">): BucketLevel[] {
    if (limit === null) return [];
    const tokens = this.#table.level(key, limit, this.#nowNs());
    if (tokens === null) return [];
    return [{ ...name, tokens: roundedDown(tokens), burst: limit.burst, ratePerSecond: limit.rate }];
  }

  #cell(isNeeded: boolean, key: string): number | null {
    return isNeeded ? this.#table.acquire(key, this.#nowNs()) : null;
  }
}

function messagesKey(tier: string, user: string): string {
  return `messages\n${tier}\n${user}`;
}

function bytesKey(tier: string, user: string): string {
  return `bytes\n${tier}\n${user}`;
}

function routeKey(route: string, user: string): string {
  return `route\n${route}\n${user}`;
}

function requestsKey(route: string, user: string): string {
  return `requests\n${route}\n${user}`;
}

/** To hundredths, which is more than anybody reads. */
function roundedDown(tokens: number): number {
  return Math.floor(tokens * 100) / 100;
}
