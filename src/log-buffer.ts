// The newest log entries, kept in memory for the admin API: bounded in number and in size, oldest out first.
// Each is kept as the text that it is answered with, whose size is known and costs no object.

import type { LogFields, LogLevel } from "./log.ts";

export const MAX_LOG_ENTRIES = 10_000;

/** In all; V8 takes one or two bytes for each. */
const MAX_CHARACTERS = 8 * 1024 * 1024;

/** A single entry is no longer than this; its message still stands, and says what is missing. */
const MAX_ENTRY_CHARACTERS = 16 * 1024;

/** Entries that one turn of the event loop looks at: new connections do not wait for a search. */
const ENTRIES_PER_TURN = 1_000;

const SEVERITY = { debug: 0, info: 1, warn: 2, error: 3 } as const satisfies Record<LogLevel, number>;

interface Entry {
  readonly id: number;
  readonly level: LogLevel;
  /** `{"id","time","level","message",…}` as JSON. */
  readonly text: string;
}

export interface LogQuery {
  /** The least level; null for all. */
  readonly level: LogLevel | null;
  /** Anywhere in an entry, in whatever case; empty for all. */
  readonly text: string;
  /** The newest that fit, so many. */
  readonly limit: number;
}

export class LogBuffer {
  readonly #entries: (Entry | undefined)[] = [];
  readonly #maxEntries: number;
  readonly #maxCharacters: number;
  #characters = 0;
  /** The oldest that is kept, and the next that comes; ids count from 1. */
  #firstId = 1;
  #nextId = 1;

  constructor(maxEntries: number = MAX_LOG_ENTRIES, maxCharacters: number = MAX_CHARACTERS) {
    this.#maxEntries = maxEntries;
    this.#maxCharacters = maxCharacters;
  }

  get size(): number {
    return this.#nextId - this.#firstId;
  }

  /** Of all entries together. */
  get characters(): number {
    return this.#characters;
  }

  /** Id of the newest entry; 0 before the first. */
  get lastId(): number {
    return this.#nextId - 1;
  }

  add(level: LogLevel, message: string, fields: LogFields): void {
    if (this.size === this.#maxEntries) this.#forget();
    const id = this.#nextId++;
    const time = new Date().toISOString();
    const head = { id, time, level, message };
    // Fields never hide what an entry is told by.
    const whole = JSON.stringify({ ...head, ...fields, ...head });
    const text = whole.length > MAX_ENTRY_CHARACTERS ? JSON.stringify({ ...head, isCut: true }) : whole;
    this.#entries[id % this.#maxEntries] = { id, level, text };
    this.#characters += text.length;
    while (this.#characters > this.#maxCharacters && this.size > 1) this.#forget();
  }

  /** Those that came after this one, oldest first, as JSON texts; the newest `limit` of them. */
  after(id: number, limit: number): string[] {
    const texts: string[] = [];
    const from = Math.max(id + 1, this.#firstId, this.#nextId - limit);
    for (let at = from; at < this.#nextId; at++) texts.push(this.#at(at)?.text ?? "");
    return texts;
  }

  /** JSON texts, oldest first. */
  async search({ level, text, limit }: LogQuery): Promise<string[]> {
    const least = level === null ? 0 : SEVERITY[level];
    // As it stands in JSON, whose escapes are not what was asked for.
    const wanted = JSON.stringify(text).slice(1, -1).toLowerCase();
    const found: string[] = [];
    let left = ENTRIES_PER_TURN;
    for (let id = this.lastId; id >= this.#firstId && found.length < limit; id--) {
      const entry = this.#at(id);
      if (entry !== undefined && SEVERITY[entry.level] >= least && includes(entry.text, wanted)) {
        found.push(entry.text);
      }
      left -= 1;
      if (left > 0) continue;
      left = ENTRIES_PER_TURN;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return found.toReversed();
  }

  #at(id: number): Entry | undefined {
    const entry = this.#entries[id % this.#maxEntries];
    return entry?.id === id ? entry : undefined;
  }

  #forget(): void {
    const index = this.#firstId % this.#maxEntries;
    const entry = this.#entries[index];
    this.#firstId += 1;
    if (entry === undefined) return;
    this.#characters -= entry.text.length;
    this.#entries[index] = undefined;
  }
}

function includes(text: string, wanted: string): boolean {
  return wanted === "" || text.toLowerCase().includes(wanted);
}
