// The configuration that is in effect, and the way to another one: all or nothing, and one at a time.

import { SecureContexts, secureBackendsOf } from "./backend-tls.ts";
import { fixedKeysBetween } from "./config/changes.ts";
import type { Config } from "./config/schema.ts";
import { readerOf, readTlsFiles, type TlsFiles } from "./config/tls-files.ts";
import { ExitCode, FatalError } from "./errors.ts";
import { type Counters, MAX_PAIRS } from "./shared-memory/counters.ts";

interface RunningConfigOptions {
  readonly counters: Pick<Counters, "canHold">;
  /** Hands it to every data-plane thread; rejects where one cannot take it. */
  readonly configureThreads: (config: Config, files: TlsFiles) => Promise<void>;
  /** Hands it to the control plane, once every thread has it; cannot fail. */
  readonly configureControl: (config: Config, files: TlsFiles) => void;
}

export class RunningConfig {
  readonly #options: RunningConfigOptions;
  #current: Config;
  #files: TlsFiles;
  /** The end of the change that was asked for last. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(config: Config, options: RunningConfigOptions) {
    this.#current = config;
    this.#files = readTlsFiles(config);
    this.#options = options;
  }

  get current(): Config {
    return this.#current;
  }

  /** What its certificates and keys held when it was taken over, whatever has become of them. */
  get files(): TlsFiles {
    return this.#files;
  }

  /**
   * Takes a configuration over, in the order of the calls, so that none brings back what a later one has
   * replaced; resolves to the one of before. Rejects with a FatalError (exit code 1), and nothing is changed,
   * where it cannot be used.
   */
  async apply(config: Config): Promise<Config> {
    const applied = this.#last.then(() => this.#replace(config));
    this.#last = applied.catch(() => {});
    return await applied;
  }

  /** Throws where `apply` would. Reads the files that the threads would read. */
  verify(config: Config): void {
    this.#assertPossible(config);
    const files = readTlsFiles(config);
    const contexts = new SecureContexts().load(secureBackendsOf(config.pools), readerOf(files));
    for (const context of contexts.values()) {
      if (context instanceof Error) throw new FatalError(context.message, ExitCode.usage);
    }
    // What is in them was examined when the configuration was loaded.
    for (const content of files.values()) {
      if ("failure" in content) throw new FatalError(content.failure, ExitCode.usage);
    }
  }

  async #replace(config: Config): Promise<Config> {
    const before = this.#current;
    this.#assertPossible(config);
    const files = readTlsFiles(config);
    try {
      await this.#options.configureThreads(config, files);
    } catch (error) {
      await this.#options.configureThreads(before, this.#files);
      throw error;
    }
    this.#current = config;
    this.#files = files;
    this.#options.configureControl(config, files);
    return before;
  }

  #assertPossible(config: Config): void {
    const fixed = fixedKeysBetween(this.#current, config);
    if (fixed.length > 0) throw new FatalError(`${fixed.join(", ")}: needs a restart`, ExitCode.usage);
    // Those of earlier configurations stay counted.
    const tiers = Object.keys(config.tiers);
    const pairs = Object.keys(config.pools).flatMap((pool) => tiers.map((tier) => ({ tier, pool })));
    if (this.#options.counters.canHold(pairs)) return;
    const message = `pools: more than ${MAX_PAIRS} pairs of tier and pool since the start; needs a restart`;
    throw new FatalError(message, ExitCode.usage);
  }
}
