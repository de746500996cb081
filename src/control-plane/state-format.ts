// What a state file says: JSON with one record a line, so that it can be written and read piece by piece.
// Times are milliseconds since the epoch, as the clock of one process means nothing to the next.

import { z } from "zod";

const VERSION = 1;
const END = "]}";

/** Entries in one record: little enough to be made, written or read without a pause that anyone feels. */
const ENTRIES_PER_RECORD = 500;

const milliseconds = z.number().finite();

const recordSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("backend"),
    pool: z.string(),
    id: z.string(),
    state: z.enum(["active", "draining", "down"]),
    weight: z.int().min(1).nullable(),
    capacity: z.int().min(1).nullable(),
  }),
  z.strictObject({
    kind: z.literal("bans"),
    bans: z.array(
      z.union([
        z.tuple([z.string(), milliseconds]),
        z.tuple([z.string(), milliseconds, z.string().nullable()]),
      ]),
    ),
  }),
  z.strictObject({
    kind: z.literal("affinity"),
    pool: z.string(),
    entries: z.array(z.tuple([z.string(), z.string(), milliseconds])),
  }),
]);

/**
 * - `backend`: what an operator has set; null where the configuration decides
 * - `bans`: users, each with the end of its ban; those banned by hand also with the reason given, or null
 * - `affinity`: users, each with its backend and since when it has no connection
 */
export type StateRecord = z.infer<typeof recordSchema>;

/** The text is no state file, or not a whole one, or of another version. */
export class StateFormatError extends Error {}

/** The file's lines, line ends included. Takes the records as they are asked for. */
export function* stateLines(records: Iterable<StateRecord>, nowMs: number): Generator<string> {
  yield `{"weir":"state","version":${VERSION},"savedAt":"${new Date(nowMs).toISOString()}","records":[\n`;
  let separator = "";
  for (const record of records) {
    yield `${separator}${JSON.stringify(record)}\n`;
    separator = ",";
  }
  yield `${END}\n`;
}

/** Entries by the hundreds, for one record each. */
export function* inRecords<Entry>(entries: Iterable<Entry>): Generator<Entry[]> {
  let batch: Entry[] = [];
  for (const entry of entries) {
    batch.push(entry);
    if (batch.length < ENTRIES_PER_RECORD) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** Takes a state file line by line. */
export class StateReader {
  readonly #records: StateRecord[] = [];
  #state: "at header" | "in records" | "at end" = "at header";

  /** Throws StateFormatError. */
  take(line: string): void {
    if (this.#state === "at header") return this.#takeHeader(line);
    if (this.#state === "at end") throw new StateFormatError("something follows its end");
    if (line === END) this.#state = "at end";
    else this.#records.push(parseRecord(line));
  }

  /** Those that have come so far. */
  get records(): readonly StateRecord[] {
    return this.#records;
  }

  /** All records, once there is no line left. Throws StateFormatError where the file is cut short. */
  finish(): readonly StateRecord[] {
    if (this.#state === "at header") throw new StateFormatError("it is empty");
    if (this.#state === "in records") throw new StateFormatError("it is cut short");
    return this.#records;
  }

  #takeHeader(line: string): void {
    const version = /^\{"weir":"state","version":(\d+),.*"records":\[$/.exec(line)?.[1];
    if (version === undefined) throw new StateFormatError("it is not a state file of Weir");
    if (Number(version) !== VERSION) {
      throw new StateFormatError(`its version is ${version}, and this Weir knows ${VERSION}`);
    }
    this.#state = "in records";
  }
}

function parseRecord(line: string): StateRecord {
  let value: unknown;
  try {
    value = JSON.parse(line.startsWith(",") ? line.slice(1) : line);
  } catch {
    throw new StateFormatError("it is cut short or damaged");
  }
  const parsed = recordSchema.safeParse(value);
  if (!parsed.success) throw new StateFormatError("it holds something unknown");
  return parsed.data;
}
