// The public keys of a JWKS URL, fetched when they are needed and kept: for as long as they are fresh, a while
// longer where the URL does not answer, and fetched again when a token names a key that is not among them.

import type { FlattenedJWSInput, JSONWebKeySet, JWSHeaderParameters, LocalJWKSet } from "jose";
import { Refusal } from "../../errors.ts";
import { loadJose } from "./jose.ts";

/** After this the keys are fetched anew, beside their use. */
const FRESH_MS = 10 * 60_000;

/** After this they are not used any more: who could have withdrawn them has not been heard of. */
const USABLE_MS = 60 * 60_000;

/**
 * Fetches for keys that are not there: as many at once, so that a rotation is seen at once and one after it too,
 * and then one in a while, as a flood of tokens with invented keys shall be no flood of fetches.
 */
const MISSES = 5;
const MISS_INTERVAL_MS = 30_000;

/** How often a URL is asked that does not answer. */
const RETRY_MS = 1_000;

interface RemoteKeysOptions {
  /** Resolves with the body of the URL. */
  readonly fetch: () => Promise<string>;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Told when fetching begins to fail, and with null when it works again. */
  readonly onHealth: (failure: Error | null) => void;
}

export class RemoteKeys {
  readonly #options: RemoteKeysOptions;
  #keys: LocalJWKSet | null = null;
  #fetchedAtMs = Number.NEGATIVE_INFINITY;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  /** When the fetches for missing keys so far are made up for, at one in each interval. */
  #missesEndAtMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  #fetching: Promise<void> | null = null;

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
  }

  /**
   * The key for a token with this header, for `jwtVerify`. Throws Refusal `auth_unavailable` where there are
   * no keys, and what the key set of `jose` throws where none or several fit.
   */
  readonly keyFor = async (header: JWSHeaderParameters, token: FlattenedJWSInput) => {
    const { errors } = await loadJose();
    const before = this.#keys;
    if (this.#ageMs >= USABLE_MS) await this.#refresh(RETRY_MS);
    else if (this.#ageMs >= FRESH_MS) void this.#refresh(RETRY_MS);
    const keys = this.#usable();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    // It may have been made since: keys are rotated.
    if (this.#keys === before) await this.#refreshForMiss();
    return this.#usable()(header, token);
  };

  get #ageMs(): number {
    return this.#options.now() - this.#fetchedAtMs;
  }

  #usable(): LocalJWKSet {
    if (this.#keys !== null && this.#ageMs < USABLE_MS) return this.#keys;
    throw new Refusal("auth_unavailable", {
      reason: "the keys that tokens are verified with cannot be had",
    });
  }

  /** Never rejects. */
  #refreshForMiss(): Promise<void> {
    if (this.#isFailing) return this.#refresh(RETRY_MS);
    const nowMs = this.#options.now();
    const fromMs = Math.max(this.#missesEndAtMs, nowMs);
    const isTooMany = fromMs - nowMs > (MISSES - 1) * MISS_INTERVAL_MS;
    if (this.#fetching !== null || isTooMany) return this.#fetching ?? Promise.resolve();
    this.#missesEndAtMs = fromMs + MISS_INTERVAL_MS;
    return this.#refresh(0);
  }

  /** Never rejects. Those who ask meanwhile share one fetch; nobody asks again within `intervalMs`. */
  #refresh(intervalMs: number): Promise<void> {
    if (this.#fetching === null && this.#options.now() - this.#triedAtMs >= intervalMs) {
      this.#triedAtMs = this.#options.now();
      this.#fetching = this.#fetch().finally(() => (this.#fetching = null));
    }
    return this.#fetching ?? Promise.resolve();
  }

  async #fetch(): Promise<void> {
    const { createLocalJWKSet } = await loadJose();
    try {
      this.#keys = createLocalJWKSet(parseKeys(await this.#options.fetch()));
      this.#fetchedAtMs = this.#options.now();
      if (this.#isFailing) this.#options.onHealth(null);
      this.#isFailing = false;
    } catch (error) {
      const isNews = !this.#isFailing;
      this.#isFailing = true;
      if (isNews) this.#options.onHealth(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

/** The parser's own message would quote what is no set of keys, and may be anything. */
function parseKeys(text: string): JSONWebKeySet {
  try {
    return JSON.parse(text) as JSONWebKeySet;
  } catch {
    throw new Error("answered no JSON");
  }
}
