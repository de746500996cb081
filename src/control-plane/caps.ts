// How many connections there may be at once: in all, per tier, and per user. Counts places in all and
// per tier, from before the dial to the release; `Places` knows how many each user has.

import { ALL_TIERS, type TierConfig } from "../config/schema-limits.ts";

export type CapRefusal = "connections_full" | "tier_full" | "user_full";

export interface CapLimits {
  /** `limits.maxConnections` with `auto` resolved. */
  readonly maxConnections: number;
  readonly tiers: Readonly<Record<string, TierConfig>>;
}

export class Caps {
  #limits: CapLimits;
  #total = 0;
  /** By the tier that they came with, which a reload may have taken away. */
  readonly #perTier = new Map<string, number>();

  constructor(limits: CapLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  get maxConnections(): number {
    return this.#limits.maxConnections;
  }

  /**
   * Every cap that is set, and the connections that count against it; the global one under the name `all`,
   * in the place of a tier of that name.
   */
  get all(): { tier: string; limit: number; open: number }[] {
    const caps = [{ tier: ALL_TIERS, limit: this.#limits.maxConnections, open: this.#total }];
    for (const [tier, { maxConnections }] of Object.entries(this.#limits.tiers)) {
      if (maxConnections !== null && tier !== ALL_TIERS)
        caps.push({ tier, limit: maxConnections, open: this.ofTier(tier) });
    }
    return caps;
  }

  /** Those whose tier is gone count as of the default one. */
  ofTier(tier: string): number {
    const { tiers } = this.#limits;
    let count = this.#perTier.get(tier) ?? 0;
    if (tiers[tier]?.default !== true) return count;
    for (const [name, ofName] of this.#perTier) if (tiers[name] === undefined) count += ofName;
    return count;
  }

  /** New limits count from the next connection on; those above a lowered one stay. */
  configure(limits: CapLimits): void {
    this.#limits = limits;
  }

  /** The first cap that one more connection would exceed, of a user who has `ofUser`; null if none. */
  exceededBy(tier: string, ofUser: number): CapRefusal | null {
    const { maxConnections, tiers } = this.#limits;
    if (this.#total >= maxConnections) return "connections_full";
    const limits = tiers[tier];
    if (limits === undefined) return null;
    if (this.ofTier(tier) >= (limits.maxConnections ?? Infinity)) return "tier_full";
    if (ofUser >= (limits.maxConnectionsPerUser ?? Infinity)) return "user_full";
    return null;
  }

  acquire(tier: string): void {
    this.#total += 1;
    this.#perTier.set(tier, (this.#perTier.get(tier) ?? 0) + 1);
  }

  release(tier: string): void {
    this.#total -= 1;
    const left = (this.#perTier.get(tier) ?? 0) - 1;
    if (left === 0) this.#perTier.delete(tier);
    else this.#perTier.set(tier, left);
  }
}
