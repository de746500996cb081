// Where the configuration of a Weir in a program comes from: plain data, which does not change, and the files
// that it names, which do. They are watched and read again, as those of a configuration file are.

import process from "node:process";
import { compareConfigs } from "./config/changes.ts";
import { type Fingerprints, isResolved, parseConfig } from "./config/load.ts";
import { Loader, type Reading } from "./config/loader.ts";
import type { Config } from "./config/schema.ts";
import type { Log } from "./log.ts";
import { type Reloadable, Reloader } from "./reloader.ts";

/** What stands in the place of a file's name in the log. */
const NAME = "the configuration";

interface Followed {
  readonly weir: Reloadable;
  readonly input: unknown;
  /** Those that it names, as they were read. */
  readonly files: Fingerprints;
}

export class InputSource {
  readonly reloader: Reloader;
  #input: unknown = null;

  constructor(log: Log) {
    const threads = new Loader();
    this.reloader = new Reloader({
      file: NAME,
      env: process.env,
      log,
      loader: {
        prepare: () => {},
        load: async ({ running }) => this.#read(running),
        compare: (order) => threads.compare(order),
        dismiss: () => {},
      },
    });
  }

  /** From now on this is what is read again when one of the files changes. */
  follow({ weir, input, files }: Followed): void {
    this.#follow(weir, copyOf(input), files);
  }

  /**
   * Takes over what is to be followed from then on. Between its beginning and its end no file is read again: that
   * would bring back the input of before.
   */
  replace<T>(takeOver: () => Promise<T>, { weir, input, files }: Followed): Promise<T> {
    const copy = copyOf(input);
    return this.reloader.takeTurn(async () => {
      const taken = await takeOver();
      this.#follow(weir, copy, files);
      return taken;
    });
  }

  #follow(weir: Reloadable, copy: unknown, files: Fingerprints): void {
    this.#input = copy;
    this.reloader.begin(weir, files);
  }

  close(): void {
    this.reloader.close();
  }

  #read(running: Config): Reading {
    const loaded = parseConfig(this.#input);
    return loaded.ok ? { ...loaded, comparison: compareConfigs(running, loaded.config) } : loaded;
  }
}

/** What the program does to its object later is not meant for us. */
function copyOf(input: unknown): unknown {
  return isResolved(input) ? input : structuredClone(input);
}
