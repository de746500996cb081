// Users that may not connect for a while: abusers by their own doing, others by an administrator's.

/** Bans at the most; past it the one that ends first is lifted, so that abuse cannot fill the memory. */
const MAX_BANS = 100_000;

export class Bans {
  /** Time at which each ban ends. */
  readonly #untilMs = new Map<string, number>();

  get size(): number {
    return this.#untilMs.size;
  }

  /** A later end replaces an earlier one, never the other way round. */
  ban(user: string, untilMs: number): void {
    const known = this.#untilMs.get(user);
    if (known !== undefined && known >= untilMs) return;
    if (known === undefined && this.#untilMs.size >= MAX_BANS) this.#liftEarliest();
    this.#untilMs.set(user, untilMs);
  }

  /** Returns whether there was one. */
  lift(user: string): boolean {
    return this.#untilMs.delete(user);
  }

  isBanned(user: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(user);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs) return true;
    this.#untilMs.delete(user);
    return false;
  }

  /** Each user with the end of its ban; the bans may change while they are stepped through. */
  entries(): Iterable<readonly [user: string, untilMs: number]> {
    return this.#untilMs.entries();
  }

  /** Forgets the bans that are over; called now and then by the owner. */
  sweep(nowMs: number): void {
    for (const [user, untilMs] of this.#untilMs) {
      if (untilMs <= nowMs) this.#untilMs.delete(user);
    }
  }

  #liftEarliest(): void {
    let earliest: string | null = null;
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const [user, untilMs] of this.#untilMs) {
      if (untilMs >= earliestMs) continue;
      earliest = user;
      earliestMs = untilMs;
    }
    if (earliest !== null) this.#untilMs.delete(earliest);
  }
}
