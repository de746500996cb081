// How many connections are open, by tier and pool; a pair that was ever seen stays listed.

interface OpenCount {
  readonly tier: string;
  readonly pool: string;
  count: number;
}

export class OpenConnections {
  readonly #counts = new Map<string, OpenCount>();

  get all(): Iterable<Readonly<OpenCount>> {
    return this.#counts.values();
  }

  of(tier: string, pool: string): OpenCount {
    const key = `${tier}\n${pool}`;
    const known = this.#counts.get(key);
    if (known !== undefined) return known;
    const entry = { tier, pool, count: 0 };
    this.#counts.set(key, entry);
    return entry;
  }
}
