// Reloads the configuration file: when it changes, on SIGHUP, and when the admin API asks. One reload at a
// time, and each all or nothing; what a file says and how it is applied is for others to know.

import { type Change, changeLines, type Comparison, type Removal } from "./config/changes.ts";
import type { Fingerprints } from "./config/load.ts";
import { Loader, type LoadOrder, type Reading } from "./config/loader.ts";
import { formatProblem, type Problem, shortened } from "./config/problems.ts";
import type { Config } from "./config/schema.ts";
import { formatPercent } from "./config/units.ts";
import type { VeiledConfig } from "./config/veil.ts";
import { FileWatch } from "./config/watch.ts";
import type { Log } from "./log.ts";

/** What is reloaded: Weir, as far as this file needs it. */
export interface Reloadable {
  /** The configuration that is in effect. */
  readonly config: Config;
  /** Throws where `apply` would. */
  verify(config: Config): void;
  /** Takes a configuration over, or rejects and changes nothing. */
  apply(config: Config): Promise<unknown>;
}

export type ReloadResult =
  | { readonly ok: true; readonly changes: readonly Change[]; readonly warnings: readonly Problem[] }
  | {
      readonly ok: false;
      /** Empty where nothing is wrong but `held`. */
      readonly errors: readonly Problem[];
      /** What a change that nobody asked for would take away, more than `reload.maxRemoved` allows. */
      readonly held: readonly Removal[];
    };

/** What a reload would do. */
export type DryRun =
  | Extract<ReloadResult, { ok: false }>
  | (Extract<ReloadResult, { ok: true }> & {
      /** What a change that nobody asked for would be held back for. */
      readonly excess: readonly Removal[];
      readonly pools: Config["pools"];
    });

export interface LastReload {
  /** False also while a change is held back: what runs is not what the file says. */
  readonly successful: boolean;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

interface ReloaderOptions {
  readonly file: string;
  readonly env: LoadOrder["env"];
  readonly log: Log;
  /** In place of threads that read the file. */
  readonly loader?: Pick<Loader, "prepare" | "load" | "compare" | "dismiss">;
}

/** A reading, as far as it decides what a reload may do. */
type Judgeable =
  | Pick<Extract<Reading, { ok: false }>, "ok" | "errors">
  | Pick<Extract<Reading, { ok: true }>, "ok" | "config" | "warnings" | "comparison" | "fixedKeys">;

/** A reload that has not begun; whoever asks for one until then gets this one's result. */
interface NextReload {
  /** Somebody asked for it, so nothing is held back. */
  isForced: boolean;
  readonly result: Promise<ReloadResult>;
}

export class Reloader {
  readonly #options: ReloaderOptions;
  readonly #loader: NonNullable<ReloaderOptions["loader"]>;
  readonly #watch: FileWatch;
  readonly #begun = Promise.withResolvers<Reloadable>();
  /** The end of the reload that is asked for last. */
  #last: Promise<unknown> = this.#begun.promise;
  #next: NextReload | null = null;
  /** What the files held when they were last found changed and left alone. */
  #seen: Fingerprints = new Map();
  /** What was read last. */
  #files: Fingerprints = new Map();
  #lastReload: LastReload = { successful: true, atMs: Date.now() };
  #isClosed = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const loader = options.loader ?? new Loader();
    this.#loader = loader;
    this.#watch = new FileWatch({
      moved: () => loader.prepare(),
      changed: (seen) => this.#onChange(seen),
      calmed: () => loader.dismiss(),
    });
  }

  /** Begins to watch, and with what was asked for meanwhile. `files` is what Weir was started with. */
  begin(weir: Reloadable, files: Fingerprints): void {
    this.#lastReload = { successful: true, atMs: Date.now() };
    this.#watchFiles(weir, files);
    this.#begun.resolve(weir);
  }

  get lastReload(): LastReload {
    return this.#lastReload;
  }

  /** Reads the file and applies it, whatever it takes away. Never rejects. */
  reload(): Promise<ReloadResult> {
    return this.#ask({ isForced: true });
  }

  /**
   * What `reload` would do, or a reload to this configuration if the file held it. Never rejects.
   * @param given one that was read elsewhere: of it, the files that it names are not looked at
   */
  async dryRun(given: VeiledConfig | null = null): Promise<DryRun> {
    const weir = await this.#begun.promise;
    const reading = given === null ? await this.#read(weir) : await this.#compare(weir, given);
    const result = this.#judge(reading);
    if (!result.ok) return result;
    if (!reading.ok) return { ok: false, errors: reading.errors, held: [] };
    const { config, comparison } = reading;
    try {
      if (given === null) weir.verify(config);
    } catch (error) {
      return this.#failed(messageOf(error));
    }
    return { ...result, excess: excessOf(comparison, weir.config), pools: config.pools };
  }

  /** Ends the watch; a reload that is under way applies nothing any more. */
  close(): void {
    this.#isClosed = true;
    this.#watch.close();
    this.#loader.dismiss();
  }

  /** Has another take-over wait for its turn: what was asked for before it is not applied behind it. */
  takeTurn<T>(takeOver: () => Promise<T>): Promise<T> {
    const taken = this.#last.then(takeOver);
    // Its failure is for who asked for it.
    this.#last = taken.catch(() => {});
    return taken;
  }

  #onChange(seen: Fingerprints): void {
    this.#seen = seen;
    void this.#ask({ isForced: false });
  }

  #ask({ isForced }: { readonly isForced: boolean }): Promise<ReloadResult> {
    if (this.#next !== null) {
      this.#next.isForced ||= isForced;
      return this.#next.result;
    }
    const result = this.#runAfter(this.#last);
    this.#next = { isForced, result };
    this.#last = result;
    return result;
  }

  async #runAfter(last: Promise<unknown>): Promise<ReloadResult> {
    await last;
    const isForced = this.#next?.isForced ?? false;
    this.#next = null;
    return this.#run(isForced);
  }

  async #run(isForced: boolean): Promise<ReloadResult> {
    const weir = await this.#begun.promise;
    const reading = await this.#read(weir);
    if (this.#isClosed) return this.#failed("Weir is ending");
    if (!isForced && this.#isTorn(reading.files)) {
      // Fingerprints that no file can have: the watch tells of them again once they are left alone.
      this.#watchFiles(weir, new Map([...reading.files.keys()].map((file) => [file, "torn"])));
      return this.#failed("the file changed while it was read");
    }
    const result = await this.#take(weir, reading, isForced);
    this.#lastReload = { successful: result.ok, atMs: Date.now() };
    this.#watchFiles(weir, reading.files);
    return result;
  }

  async #read(weir: Reloadable): Promise<Reading> {
    const { file, env } = this.#options;
    try {
      return await this.#loader.load({ file, env, running: weir.config });
    } catch (error) {
      return { ok: false, errors: [this.#problem(messageOf(error))], warnings: [], files: this.#files };
    }
  }

  async #compare(weir: Reloadable, given: VeiledConfig): Promise<Judgeable> {
    try {
      const comparison = await this.#loader.compare({ given, running: weir.config });
      return { ok: true, config: given.config, warnings: [], comparison, fixedKeys: new Map() };
    } catch (error) {
      return { ok: false, errors: [this.#problem(messageOf(error))] };
    }
  }

  /** Whether it may be applied, as far as can be said without doing so. */
  #judge(reading: Judgeable): ReloadResult {
    if (!reading.ok) return { ok: false, errors: reading.errors, held: [] };
    const { changes, fixedKeys } = reading.comparison;
    if (fixedKeys.length === 0) return { ok: true, changes, warnings: reading.warnings };
    const errors = fixedKeys.map(
      (path) => reading.fixedKeys.get(path) ?? this.#problem("needs a restart", path),
    );
    return { ok: false, errors, held: [] };
  }

  async #take(weir: Reloadable, reading: Reading, isForced: boolean): Promise<ReloadResult> {
    const { log, file } = this.#options;
    for (const line of shortened(reading.warnings.map((one) => formatProblem(one, "warning"))))
      log.warn(line);
    const result = this.#judge(reading);
    if (!reading.ok || !result.ok) return this.#logged(result);
    const { maxRemoved } = weir.config.reload;
    const excess = excessOf(reading.comparison, weir.config);
    if (!isForced && excess.length > 0) {
      log.warn("change held back, as it removes too many backends; SIGHUP or POST /api/reload applies it", {
        file,
        removed: excess.map(({ pool, removed, of }) => `${pool}: ${removed} of ${of}`),
        maxRemoved: formatPercent(maxRemoved),
      });
      return { ok: false, errors: [], held: excess };
    }
    try {
      await weir.apply(reading.config);
    } catch (error) {
      return this.#logged(this.#failed(messageOf(error)));
    }
    log.info("configuration reloaded", { changes: changeLines(result.changes) });
    return result;
  }

  /** Logs what is wrong, line by line. */
  #logged(result: ReloadResult): ReloadResult {
    if (result.ok) return result;
    const { log } = this.#options;
    for (const line of shortened(result.errors.map((problem) => formatProblem(problem)))) log.error(line);
    log.error("reload failed; nothing was changed", { errors: result.errors.length });
    return result;
  }

  /** True where what was read is not what had been left alone: somebody has begun to write again. */
  #isTorn(read: Fingerprints): boolean {
    return [...this.#seen].some(([file, seen]) => (read.get(file) ?? seen) !== seen);
  }

  #watchFiles(weir: Reloadable, files: Fingerprints): void {
    this.#loader.dismiss();
    if (this.#isClosed) return;
    this.#files = files;
    const { watch, settle } = weir.config.reload;
    if (watch) this.#watch.watch(files, settle);
    else this.#watch.close();
  }

  #failed(message: string): Extract<ReloadResult, { ok: false }> {
    return { ok: false, errors: [this.#problem(message)], held: [] };
  }

  #problem(message: string, path = ""): Problem {
    return { file: this.#options.file, line: null, column: null, path, message };
  }
}

/** What a change that nobody asked for may not take away. */
function excessOf({ removals }: Comparison, { reload }: Config): readonly Removal[] {
  return removals.filter(({ removed, of }) => removed / of > reload.maxRemoved);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
