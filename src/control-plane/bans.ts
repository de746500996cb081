// Users that may not connect for a while: abusers by their own doing, others by an administrator's.

/** Bans at the most; past it the one that ends first is lifted, so that abuse cannot fill the memory. */
const MAX_BANS = 100_000;

export interface Ban {
  readonly untilMs: number;
  readonly by: "abuse" | "admin";
  /** What the administrator gave; null for none. */
  readonly reason: string | null;
}

export class Bans {
  readonly #bans = new Map<string, Ban>();

  get size(): number {
    return this.#bans.size;
  }

  /** For abuse, as long as nothing else is said. A later end replaces an earlier one, never the other way round. */
  ban(user: string, untilMs: number, origin: Omit<Ban, "untilMs"> = { by: "abuse", reason: null }): void {
    const known = this.#bans.get(user);
    if (known === undefined || known.untilMs < untilMs) this.set(user, { untilMs, ...origin });
  }

  /** Replaces whatever ban there is. */
  set(user: string, ban: Ban): void {
    if (!this.#bans.has(user) && this.#bans.size >= MAX_BANS) this.#liftEarliest();
    this.#bans.set(user, ban);
  }

  /** Returns whether there was one. */
  lift(user: string): boolean {
    return this.#bans.delete(user);
  }

  find(user: string, nowMs: number): Ban | null {
    const ban = this.#bans.get(user);
    if (ban === undefined) return null;
    if (ban.untilMs > nowMs) return ban;
    this.#bans.delete(user);
    return null;
  }

  isBanned(user: string, nowMs: number): boolean {
    return this.find(user, nowMs) !== null;
  }

  /** They may change while they are stepped through. */
  entries(): Iterable<readonly [user: string, ban: Ban]> {
    return this.#bans.entries();
  }

  /** Forgets the bans that are over; called now and then by the owner. */
  sweep(nowMs: number): void {
    for (const [user, { untilMs }] of this.#bans) {
      if (untilMs <= nowMs) this.#bans.delete(user);
    }
  }

  #liftEarliest(): void {
    let earliest: string | null = null;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const [user, { untilMs }] of this.#bans) {
      if (untilMs >= earliestMs) continue;
      earliest = user;
      earliestMs = untilMs;
    }
    if (earliest !== null) this.#bans.delete(earliest);
  }
}
