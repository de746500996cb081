// `state.file`: written every minute and at a shutdown, read at the start. Whatever is wrong with the file
// is logged and costs no more than what it would have said.

import { createReadStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { StateConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { StateFormatError, stateLines, StateReader, type StateRecord } from "./state-format.ts";

const SAVE_INTERVAL_MS = 60_000;

/** It names users. */
const MODE = 0o600;

/** A file that is not ours may be one line without an end: no more of it than this is read as its first. */
const HEADER_BYTES = 256;

interface StateFileOptions {
  /** What is to be kept, as it is when each record is asked for; the file is written in between. */
  readonly records: () => Iterable<StateRecord>;
  readonly log: Log;
}

export class StateFile {
  readonly #options: StateFileOptions;
  #path: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** The end of the save that was asked for last. */
  #last: Promise<void> = Promise.resolve();
  #saves = 0;

  constructor(options: StateFileOptions) {
    this.#options = options;
  }

  /** Saves there from now on; null: nowhere. */
  configure(config: StateConfig | null): void {
    this.#path = config?.file ?? null;
    if (this.#path === null) this.stop();
    // A disk that takes longer than a minute is not asked for more.
    else this.#timer ??= setInterval(() => void (this.#saves === 0 && this.save()), SAVE_INTERVAL_MS);
  }

  /** What the file says; nothing, and a warning, where it is missing or cannot be understood. Never rejects. */
  async load(): Promise<readonly StateRecord[]> {
    const path = this.#path;
    if (path === null) return [];
    try {
      return await read(path);
    } catch (error) {
      const keptAs = error instanceof StateFormatError ? await setAside(path) : null;
      this.#options.log.warn("no state to restore, starting afresh", {
        file: path,
        reason: reasonOf(error),
        ...(keptAs === null ? {} : { keptAs }),
      });
      return [];
    }
  }

  /** Writes what is to be kept at this moment, behind a save that is under way. Never rejects. */
  save(): Promise<void> {
    const path = this.#path;
    if (path === null) return Promise.resolve();
    this.#saves += 1;
    this.#last = this.#last.then(() => this.#write(path)).finally(() => (this.#saves -= 1));
    return this.#last;
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #write(path: string): Promise<void> {
    const { records, log } = this.#options;
    try {
      await assertReplaceable(path);
      await replace(path, stateLines(records(), Date.now()));
      log.debug("state written", { file: path });
    } catch (error) {
      log.error("the state could not be written", { file: path, reason: reasonOf(error) });
    }
  }
}

/** Throws StateFormatError, or the error of the file system. */
async function read(path: string): Promise<readonly StateRecord[]> {
  const facts = await stat(path);
  if (!facts.isFile()) throw new Error("it is not a regular file");
  const reader = new StateReader();
  await assertBeginsWithLine(path);
  const input = createReadStream(path);
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
      reader.take(line);
  } finally {
    input.destroy();
  }
  return reader.finish();
}

async function assertBeginsWithLine(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    const isHeaderWhole = buffer.subarray(0, bytesRead).includes("\n");
    if (bytesRead === HEADER_BYTES && !isHeaderWhole) {
      throw new StateFormatError("it is not a state file of Weir");
    }
  } finally {
    await handle.close();
  }
}

/** Nobody's file is to be lost because it was taken for ours. Returns its new name; null where it has none. */
async function setAside(path: string): Promise<string | null> {
  const name = `${path}.unreadable`;
  try {
    await rename(path, name);
    return name;
  } catch {
    return null;
  }
}

/** A device or a socket would be replaced by a file. */
async function assertReplaceable(path: string): Promise<void> {
  const facts = await stat(path).catch(() => null);
  if (facts !== null && !facts.isFile()) throw new Error("it is not a regular file");
}

/** All or nothing: who reads the file meanwhile, or after a crash, finds the old one whole or the new one. */
async function replace(path: string, lines: Iterable<string>): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  try {
    const handle = await open(temporary, "wx", MODE);
    try {
      for (const line of lines) await handle.write(line);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? String(error.code) : error.message;
}
