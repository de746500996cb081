// The addresses behind the names of backends, kept up to date: turns the backends of the configuration
// into what they are at this moment. A name that fails to resolve keeps the addresses that it had.

import { isIP } from "node:net";
import type { BackendConfig, Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { BackendSpec } from "./backend.ts";
import { createLookup, type NameLookup } from "./name-lookup.ts";
import { NameWatch } from "./name-watch.ts";
import { Turnstile } from "./turnstile.ts";

interface NameResolverOptions {
  readonly log: Log;
  /** Some backend has other addresses than before, or the first round is over. */
  readonly onChange: () => void;
  readonly lookup?: NameLookup;
}

/** Of its pool of threads, libuv lets no more than this many wait for names. */
const MAX_LOOKUPS = 2;

/** Names whose name servers hang get no more of them than that, so that the others' addresses stay fresh. */
const MAX_SLOW_LOOKUPS = 1;

/** The first round is over by then, whatever name servers do. */
const FIRST_ROUND_MS = 5_000;

/** Names that change at about the same time are told together. */
const GATHERING_MS = 50;

export class NameResolver {
  readonly #options: NameResolverOptions;
  readonly #lookup: NameLookup;
  readonly #lookups = new Turnstile<NameWatch>(MAX_LOOKUPS, (watch) => watch.run());
  readonly #slowLookups = new Turnstile<NameWatch>(MAX_SLOW_LOOKUPS, (watch) => this.#lookups.enter(watch));
  /** By name. */
  readonly #watches = new Map<string, NameWatch>();
  #config: Config | null = null;
  #isFirstRoundOver = false;
  #firstRound: NodeJS.Timeout | null = null;
  #gathering: NodeJS.Timeout | null = null;

  constructor(options: NameResolverOptions) {
    this.#options = options;
    this.#lookup = options.lookup ?? createLookup();
  }

  /** Each name was looked up once, or has taken too long. Stays true: later names are nobody's wait. */
  get isFirstRoundOver(): boolean {
    return this.#isFirstRoundOver;
  }

  /** `specsOf` goes by this configuration from here on; the names that it adds are looked up. */
  configure(config: Config): void {
    this.#config = config;
    const names = new Set<string>();
    for (const pool of Object.values(config.pools)) {
      for (const backend of pool.backends) if (hasName(backend)) names.add(nameOf(backend));
    }
    for (const [name, watch] of this.#watches) {
      if (names.has(name)) continue;
      this.#watches.delete(name);
      watch.stop();
    }
    for (const name of names) if (!this.#watches.has(name)) this.#watch(name);
    // Nobody needs to be told of what is so from the start.
    if (this.#areAllSettled()) this.#isFirstRoundOver = true;
    if (!this.#isFirstRoundOver) {
      this.#firstRound ??= setTimeout(() => this.#endFirstRound(), FIRST_ROUND_MS);
    }
  }

  /** What the backends of a pool are now. With `resolve: all` each address is one, and an unknown name none. */
  specsOf(poolName: string): BackendSpec[] {
    return this.specsFor(this.#config?.pools[poolName]?.backends ?? []);
  }

  /** What these would be at this moment; a name that nobody asks for yet is not known. */
  specsFor(backends: readonly BackendConfig[]): BackendSpec[] {
    return backends.flatMap((config): BackendSpec[] => {
      const { id, resolve } = config;
      if (!hasName(config)) return [{ id, config, addresses: null }];
      const watch = this.#watches.get(nameOf(config));
      if (resolve === "first") return [{ id, config, addresses: watch?.addresses ?? null }];
      return (watch?.lastingAddresses ?? []).map((address) => ({
        id: `${id}@${address}`,
        config,
        addresses: [address],
      }));
    });
  }

  stop(): void {
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
    if (this.#firstRound !== null) clearTimeout(this.#firstRound);
    if (this.#gathering !== null) clearTimeout(this.#gathering);
  }

  #watch(name: string): void {
    const watch = new NameWatch(name, {
      lookup: this.#lookup,
      log: this.#options.log,
      onDue: (due) => (due.isSlow ? this.#slowLookups : this.#lookups).enter(due),
      onDone: (done) => {
        this.#lookups.leave(done);
        this.#slowLookups.leave(done);
      },
      onChange: () => this.#gather(),
      onSettled: () => {
        if (!this.#isFirstRoundOver && this.#areAllSettled()) this.#endFirstRound();
      },
    });
    this.#watches.set(name, watch);
    watch.start();
  }

  #areAllSettled(): boolean {
    for (const watch of this.#watches.values()) if (!watch.isSettled) return false;
    return true;
  }

  #endFirstRound(): void {
    if (this.#firstRound !== null) clearTimeout(this.#firstRound);
    this.#isFirstRoundOver = true;
    this.#tell();
  }

  #gather(): void {
    this.#gathering ??= setTimeout(() => this.#tell(), GATHERING_MS);
  }

  #tell(): void {
    if (this.#gathering !== null) clearTimeout(this.#gathering);
    this.#gathering = null;
    this.#options.onChange();
  }
}

function hasName({ target }: BackendConfig): boolean {
  return target.socketPath === null && isIP(target.host) === 0;
}

function nameOf({ target }: BackendConfig): string {
  return target.host.toLowerCase();
}
