// The files that a configuration is made of: each is read once, and what stood in it is remembered by a
// fingerprint, so that a later look can tell whether it still says the same.

import { createHash } from "node:crypto";

/** By absolute path: what a file held, or why it could not be read. Never its contents. */
export type Fingerprints = ReadonlyMap<string, string>;

export function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

/** Of a file that cannot be read: another one when it is there, or fails in another way. */
export function fingerprintOfFailure(error: unknown): string {
  const isSystemError = error instanceof Error && "code" in error;
  return `unreadable: ${isSystemError ? String(error.code) : "for an unknown reason"}`;
}

/** `no such file or directory`, without the path that the system adds. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^E[A-Z]+: (.*?),/.exec(message)?.[1] ?? message;
}

export class SourceFiles {
  readonly #fingerprints = new Map<string, string>();
  readonly #texts = new Map<string, string>();
  readonly #readFile: (path: string) => string;

  /** @param readFile by absolute path; throws for a file that cannot be read */
  constructor(readFile: (path: string) => string) {
    this.#readFile = readFile;
  }

  get fingerprints(): Fingerprints {
    return this.#fingerprints;
  }

  /** The text of a file by its absolute path; throws what reading throws. */
  read(path: string): string {
    const known = this.#texts.get(path);
    if (known !== undefined) return known;
    try {
      const text = this.#readFile(path);
      this.add(path, text);
      return text;
    } catch (error) {
      this.#fingerprints.set(path, fingerprintOfFailure(error));
      throw error;
    }
  }

  /** A file that was read elsewhere. */
  add(path: string, text: string): void {
    this.#texts.set(path, text);
    this.#fingerprints.set(path, fingerprintOf(text));
  }

  /** A file whose contents are for others to use: that it cannot be read is theirs to say, too. */
  note(path: string): void {
    try {
      this.read(path);
    } catch {
      // Its fingerprint says so.
    }
  }
}
