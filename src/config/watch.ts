// Tells when files no longer hold what was read from them. What the system reports is only a hint: editors,
// renames, Kubernetes' swapped symlinks and file systems without reports differ too much. So every look
// asks for the state of all files, and in the end their contents decide.

import { type FSWatcher, watch as watchDirectory } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type Fingerprints, fingerprintOf, fingerprintOfFailure } from "./source-files.ts";

/** Without a hint, files are looked at this often. */
const POLL_INTERVAL_MS = 500;

/** A hint seldom comes alone. */
const HINT_DELAY_MS = 10;

/** The signature of pipes and the like (`--config <(…)`): what was read from one is gone from it. */
const STREAM = "a stream";

interface WatchedFile {
  readonly path: string;
  /** What was read. */
  readonly fingerprint: string;
  /** Changes whenever the contents may have; null before the first look. */
  signature: string | null;
  /** What it holds now, as far as was looked. */
  seen: string | null;
}

export interface WatchEvents {
  /** A file may have changed. One of the others follows, once all files have been left alone. */
  readonly moved: () => void;
  /** A file holds something else than was read, and this has not been told before: what each now holds. */
  readonly changed: (seen: Fingerprints) => void;
  /** There is no news. */
  readonly calmed: () => void;
}

export class FileWatch {
  readonly #events: WatchEvents;
  #files: WatchedFile[] = [];
  #watchers: FSWatcher[] = [];
  #settleMs = 0;
  /** When a file was last found to differ from the look before; null once that has been dealt with. */
  #movedAtMs: number | null = null;
  /** What has been told already. */
  #told: string | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isLooking = false;
  #isHinted = false;
  /** Counts replacements, so that a look that was overtaken by one ends there. */
  #round = 0;

  constructor(events: WatchEvents) {
    this.#events = events;
  }

  /** Watches these files, and no others, against what was read from them. */
  watch(files: Fingerprints, settleMs: number): void {
    this.close();
    this.#files = Array.from(files, ([path, fingerprint]) => ({
      path,
      fingerprint,
      signature: null,
      seen: null,
    }));
    this.#settleMs = settleMs;
    this.#watchDirectories();
    this.#schedule(0);
  }

  close(): void {
    this.#round += 1;
    this.#files = [];
    this.#movedAtMs = null;
    this.#told = null;
    this.#isLooking = false;
    this.#isHinted = false;
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Directories, since a file that is replaced or not there yet cannot be watched itself. */
  #watchDirectories(): void {
    const names = new Map<string, Set<string>>();
    for (const { path } of this.#files) {
      const directory = dirname(path);
      names.set(directory, (names.get(directory) ?? new Set()).add(basename(path)));
    }
    for (const [directory, ours] of names) {
      try {
        const watcher = watchDirectory(directory, (_event, name) => {
          // Kubernetes swaps the symlink ..data, through which the files are reached.
          if (name === null || ours.has(name) || name.startsWith("..")) this.#hint();
        });
        // The directory is gone, or the system has no watches left: the looks go on without.
        watcher.on("error", () => watcher.close());
        this.#watchers.push(watcher);
      } catch {
        // As above.
      }
    }
  }

  #hint(): void {
    if (this.#isLooking) this.#isHinted = true;
    else this.#schedule(HINT_DELAY_MS);
  }

  /** Looks after this time; one that is due earlier is put off, as a hint has just told of work in progress. */
  #schedule(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#look(this.#round);
    }, delayMs);
  }

  async #look(round: number): Promise<void> {
    this.#isLooking = true;
    this.#isHinted = false;
    const files = this.#files;
    const nowMs = performance.now();
    const isFirst = files.some(({ signature }) => signature === null);
    const hasSettled = this.#movedAtMs !== null && nowMs - this.#movedAtMs >= this.#settleMs;
    let hasMoved = await haveMoved(files);
    if (!hasMoved && hasSettled) {
      await Promise.all(files.map((file) => readAgain(file)));
      // What changed while it was read has not been left alone.
      hasMoved = await haveMoved(files);
    }
    if (round !== this.#round) return;
    if (hasMoved) {
      this.#movedAtMs = nowMs;
      if (!isFirst) this.#events.moved();
    } else if (hasSettled) {
      this.#movedAtMs = null;
      this.#tell();
    }
    if (round !== this.#round) return;
    this.#isLooking = false;
    this.#schedule(this.#nextLookInMs());
  }

  #nextLookInMs(): number {
    if (this.#isHinted) return HINT_DELAY_MS;
    if (this.#movedAtMs === null) return POLL_INTERVAL_MS;
    const settledInMs = Math.max(0, this.#movedAtMs + this.#settleMs - performance.now());
    return Math.min(POLL_INTERVAL_MS, settledInMs);
  }

  #tell(): void {
    const steady = this.#files.filter(({ signature }) => signature !== STREAM);
    const differs = steady.some(({ fingerprint, seen }) => seen !== fingerprint);
    const seen = new Map(steady.map(({ path, seen }) => [path, seen ?? ""]));
    const news = differs ? JSON.stringify([...seen]) : null;
    const isNew = news !== null && news !== this.#told;
    this.#told = news;
    if (isNew) this.#events.changed(seen);
    else this.#events.calmed();
  }
}

/** Whether a file differs from what it was at the last look, by what the file system keeps about it. */
async function haveMoved(files: readonly WatchedFile[]): Promise<boolean> {
  const signatures = await Promise.all(files.map(({ path }) => signatureOf(path)));
  let hasMoved = false;
  for (const [index, file] of files.entries()) {
    const signature = signatures[index] ?? "";
    hasMoved ||= signature !== file.signature;
    file.signature = signature;
  }
  return hasMoved;
}

/** The time of the last change of the inode cannot be set by anyone, so it moves with every write. */
async function signatureOf(path: string): Promise<string> {
  try {
    const stats = await stat(path, { bigint: true });
    if (!stats.isFile() && !stats.isDirectory()) return STREAM;
    const { dev, ino, size, mtimeNs, ctimeNs } = stats;
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return fingerprintOfFailure(error);
  }
}

async function readAgain(file: WatchedFile): Promise<void> {
  if (file.signature === STREAM) return;
  file.seen = await readFile(file.path, "utf8").then(fingerprintOf, fingerprintOfFailure);
}
