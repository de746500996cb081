// One name of backends, looked up again and again: at its TTL, else every 30 s. Keeps the last addresses
// that were found.

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

export class NameWatch {
  readonly #name: string;
  readonly #owner: NameWatchOwner;
  readonly #stopped = new AbortController();
  #addresses: readonly string[] | null = null;
  #isSettled = false;
  #isFailing = false;
  #pause: NodeJS.Timeout | null = null;
  #late: NodeJS.Timeout | null = null;

  constructor(name: string, owner: NameWatchOwner) {
    this.#name = name;
    this.#owner = owner;
  }

  /** In the order to try them; null until a lookup has found some. */
  get addresses(): readonly string[] | null {
    return this.#addresses;
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
    this.#late = setTimeout(() => this.#onFailure(`no answer within ${LATE_MS} ms`), LATE_MS);
    try {
      const addresses = await this.#owner.lookup.addressesOf(this.#name);
      if (!this.#stopped.signal.aborted) this.#onAddresses(addresses);
      return addresses;
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#onFailure(reasonOf(error));
      return null;
    } finally {
      clearTimeout(this.#late);
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
    const isSame = known?.length === found.length && found.every((address) => known.includes(address));
    if (this.#isFailing) log.info("a backend's name resolves again", { name, addresses: found });
    else if (!isSame && known !== null)
      log.info("a backend's name has other addresses", { name, addresses: found });
    this.#isFailing = false;
    if (!isSame) {
      this.#addresses = found;
      this.#owner.onChange();
    }
    this.#settle();
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

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? String(error.code) : error.message;
}
