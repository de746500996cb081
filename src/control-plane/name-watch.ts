// One name of backends, looked up again and again: at its TTL, else every 30 s. Keeps the addresses that
// were found last, and for a while those that an answer lacks.

import type { Log } from "../log.ts";
import type { NameLookup } from "./name-lookup.ts";

interface NameWatchOwner {
  readonly lookup: NameLookup;
  readonly log: Log;
  /** A lookup is due; the owner calls `run` when it may go. */
  onDue(watch: NameWatch): void;
  /** The lookup is over, or not wanted any more. */
  onDone(watch: NameWatch): void;
  /** It has other addresses than before. */
  onChange(): void;
  /** The first lookup has an outcome. */
  onSettled(): void;
}

const MIN_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;

/** After a failure. */
const RETRY_PAUSE_MS = 5_000;

/** A lookup that takes longer has failed so far, but may still end well. */
const LATE_MS = 5_000;

/** Some name servers answer with a few of many addresses: one is gone that so many answers in a row lack. */
const MISSED_ANSWERS = 3;

export class NameWatch {
  readonly #name: string;
  readonly #owner: NameWatchOwner;
  readonly #stopped = new AbortController();
  #addresses: readonly string[] | null = null;
  /** Every address that counts, and how many answers in a row have lacked it. */
  #missed: ReadonlyMap<string, number> = new Map();
  #isSettled = false;
  #isFailing = false;
  #isSlow = false;
  #pause: NodeJS.Timeout | null = null;
  #late: NodeJS.Timeout | null = null;

  constructor(name: string, owner: NameWatchOwner) {
    this.#name = name;
    this.#owner = owner;
  }

  /** What the last answer says, in the order to try them; null until a lookup has found some. */
  get addresses(): readonly string[] | null {
    return this.#addresses;
  }

  /** Those too that the last answers have lacked, but not often enough to be gone. */
  get lastingAddresses(): readonly string[] {
    return [...this.#missed.keys()];
  }

  /** The last lookup was late: the next one may keep its place for long, too. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** The first lookup has found something, has failed, or is late. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  start(): void {
    this.#owner.onDue(this);
  }

  run(): void {
    void this.#refresh();
  }

  stop(): void {
    this.#stopped.abort();
    if (this.#pause !== null) clearTimeout(this.#pause);
    if (this.#late !== null) clearTimeout(this.#late);
    this.#owner.onDone(this);
  }

  /** Never rejects. */
  async #refresh(): Promise<void> {
    const { signal } = this.#stopped;
    const addresses = await this.#lookUp();
    const pauseMs = addresses === null ? RETRY_PAUSE_MS : await this.#pauseAfter(addresses);
    if (!signal.aborted) this.#pause = setTimeout(() => this.#owner.onDue(this), pauseMs);
  }

  /** Null where that failed. */
  async #lookUp(): Promise<readonly string[] | null> {
    let isLate = false;
    this.#late = setTimeout(() => {
      isLate = true;
      this.#onFailure(`no answer within ${LATE_MS} ms`);
    }, LATE_MS);
    try {
      const addresses = await this.#owner.lookup.addressesOf(this.#name);
      if (!this.#stopped.signal.aborted) this.#onAddresses(addresses);
      return addresses;
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#onFailure(reasonOf(error));
      return null;
    } finally {
      clearTimeout(this.#late);
      this.#isSlow = isLate;
      this.#owner.onDone(this);
    }
  }

  async #pauseAfter(addresses: readonly string[]): Promise<number> {
    const ttlMs = await this.#owner.lookup
      .ttlOf(this.#name, addresses, this.#stopped.signal)
      .catch(() => null);
    return Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, ttlMs ?? MAX_PAUSE_MS));
  }

  #onAddresses(found: readonly string[]): void {
    const { log } = this.#owner;
    const known = this.#addresses;
    const name = this.#name;
    // Name servers shuffle their answers: that is no change.
    const isSame = known !== null && isSameSet(known, found);
    const isLastingSame = this.#count(found);
    const addresses = this.lastingAddresses;
    if (this.#isFailing) log.info("a backend's name resolves again", { name, addresses });
    else if (!isLastingSame && known !== null)
      log.info("a backend's name has other addresses", { name, addresses });
    this.#isFailing = false;
    if (!isSame) this.#addresses = found;
    if (!isSame || !isLastingSame) this.#owner.onChange();
    this.#settle();
  }

  /** Whether the addresses that count are the same as before. */
  #count(found: readonly string[]): boolean {
    const before = this.#missed;
    const missed = new Map(found.map((address) => [address, 0]));
    for (const [address, times] of before) {
      if (!missed.has(address) && times + 1 < MISSED_ANSWERS) missed.set(address, times + 1);
    }
    this.#missed = missed;
    return isSameSet([...before.keys()], [...missed.keys()]);
  }

  #onFailure(error: string): void {
    if (!this.#isFailing) {
      this.#owner.log.warn("cannot resolve a backend's name", {
        name: this.#name,
        error,
        ...(this.#addresses === null ? {} : { keeping: this.#addresses }),
      });
    }
    this.#isFailing = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#owner.onSettled();
  }
}

function isSameSet(some: readonly string[], others: readonly string[]): boolean {
  const all = new Set(some);
  return some.length === others.length && others.every((one) => all.has(one));
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? String(error.code) : error.message;
}
