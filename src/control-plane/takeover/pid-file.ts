// `pidFile`: which process is the Weir of this file. Written in one step, and removed by nobody but the
// process whose pid it holds.

import { readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { ExitCode, FatalError } from "../../errors.ts";

/** For anyone to read, as those of other daemons. */
const MODE = 0o644;

/** The pid that a file holds; null where it is not there or holds something else. */
export async function readPid(path: string): Promise<number | null> {
  const text = await readFile(path, "utf8").catch(() => "");
  return /^\d{1,10}\s*$/.test(text) ? Number(text) : null;
}

export class PidFile {
  readonly path: string;
  readonly #prepared: string;

  constructor(path: string) {
    this.path = path;
    this.#prepared = `${path}.${process.pid}.tmp`;
  }

  /** Does all of `write` that may fail. Throws FatalError (exit code 1). */
  async prepare(): Promise<void> {
    try {
      await rm(this.#prepared, { force: true });
      await writeFile(this.#prepared, `${process.pid}\n`, { flag: "wx", mode: MODE });
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Throws FatalError (exit code 1). */
  async write(): Promise<void> {
    try {
      await rename(this.#prepared, this.path);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Undoes `prepare`. */
  async discard(): Promise<void> {
    await rm(this.#prepared, { force: true }).catch(() => {});
  }

  /** Removes it where it is this process's. */
  async remove(): Promise<void> {
    if ((await readPid(this.path)) === process.pid) await unlink(this.path).catch(() => {});
  }

  #failure(error: unknown): FatalError {
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return new FatalError(`pidFile: ${this.path} cannot be written: ${reason}`, ExitCode.usage, error);
  }
}
