// Which cell of shared memory is whose bucket. The main thread's table hands cells out by key and reuses
// them; a worker's view turns a granted cell into a bucket. What a bucket is, only gcra.ts knows.

import { Bucket, BucketCells, BYTES_PER_CELL, type Limit } from "./gcra.ts";

const CELLS_PER_SEGMENT = 4096;

/** Each acquire and release looks at this many idle buckets, so that they go faster than they come. */
const SWEEP_STEPS = 4;

interface Entry {
  readonly key: string;
  readonly cell: number;
  /** Grants that name the cell. */
  holders: number;
}

/** The cells of all segments that were announced so far. */
export class BucketView {
  readonly #segments: BucketCells[] = [];

  /** Segments are added in the order in which they were announced. */
  addSegment(segment: SharedArrayBuffer): void {
    this.#segments.push(new BucketCells(segment));
  }

  /** Throws RangeError for a cell of a segment that was not added. */
  bucket(cell: number, limit: Limit): Bucket {
    return new Bucket(this.#segmentOf(cell), cell % CELLS_PER_SEGMENT, limit);
  }

  isFull(cell: number, nowNs: number): boolean {
    return this.#segmentOf(cell).isFull(cell % CELLS_PER_SEGMENT, nowNs);
  }

  #segmentOf(cell: number): BucketCells {
    const segment = this.#segments[Math.floor(cell / CELLS_PER_SEGMENT)];
    if (segment === undefined) throw new RangeError(`bucket cell ${cell} is in no segment`);
    return segment;
  }
}

/**
 * Hands out cells by key; main thread only. A bucket outlives the grants that name it until it is full, so
 * that a user who leaves and comes back finds it as it was; full and without a name it is as good as new,
 * and its cell goes to the next key that needs one. What is kept is therefore bounded by the users who are
 * connected or have lately spent, not by those who ever came.
 */
export class BucketTable {
  readonly #segments: SharedArrayBuffer[] = [];
  readonly #listeners = new Set<(segment: SharedArrayBuffer) => void>();
  readonly #view = new BucketView();
  readonly #byKey = new Map<string, Entry>();
  readonly #byCell: (Entry | undefined)[] = [];
  readonly #free: number[] = [];
  /** Entries without a holder whose buckets were not full when last looked at. */
  readonly #idle = new Set<Entry>();
  /** Goes round the idle entries; it keeps its place while they come and go. */
  #sweeper: Iterator<Entry> = this.#idle.values();

  /** All that exist, in order; what a new thread's view begins with. */
  get segments(): readonly SharedArrayBuffer[] {
    return this.#segments;
  }

  /** Keys that have a bucket: those named by a grant, and those that are not full or not yet swept. */
  get size(): number {
    return this.#byKey.size;
  }

  /** Cells that exist; never fewer than before. */
  get cellCount(): number {
    return this.#segments.length * CELLS_PER_SEGMENT;
  }

  /**
   * Calls `listener` for every segment: at once for those that exist, and for a new one before any of its
   * cells is handed out. Returns what ends it.
   */
  onSegment(listener: (segment: SharedArrayBuffer) => void): () => void {
    this.#segments.forEach((segment) => listener(segment));
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tokens in the key's bucket, below 0 while it is in debt; null where it has none, and so is full. */
  level(key: string, limit: Limit, nowNs: number): number | null {
    const known = this.#byKey.get(key);
    return known === undefined ? null : this.#view.bucket(known.cell, limit).level(nowNs);
  }

  /** Takes a token of the key's bucket here and now; false where there is none. */
  take(key: string, limit: Limit, nowNs: number): boolean {
    const cell = this.acquire(key, nowNs);
    const taken = this.#view.bucket(cell, limit).take(1, nowNs);
    this.release(cell, nowNs);
    return taken === 1;
  }

  /** The cell of the key's bucket, named by one more grant; each acquire is paired with one release. */
  acquire(key: string, nowNs: number): number {
    this.sweep(nowNs, SWEEP_STEPS);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      known.holders += 1;
      this.#idle.delete(known);
      return known.cell;
    }
    const cell = this.#free.pop() ?? this.#addSegment();
    const entry = { key, cell, holders: 1 };
    this.#byKey.set(key, entry);
    this.#byCell[cell] = entry;
    return cell;
  }

  /** Throws RangeError for a cell that no grant names. */
  release(cell: number, nowNs: number): void {
    const entry = this.#byCell[cell];
    if (entry === undefined || entry.holders === 0)
      throw new RangeError(`no grant names bucket cell ${cell}`);
    entry.holders -= 1;
    if (entry.holders === 0 && !this.#forgetIfFull(entry, nowNs)) this.#idle.add(entry);
    // The sweeper has to move whenever an entry was added: an iterator that stands still while its set
    // changes keeps each former table of the set alive.
    this.sweep(nowNs, SWEEP_STEPS);
  }

  /**
   * Looks at up to `steps` idle buckets and forgets the full ones. Acquiring and releasing do it in passing;
   * beside that a seldom call is enough to forget the last users after all have left.
   */
  sweep(nowNs: number, steps: number): void {
    for (let step = 0; step < steps && this.#idle.size > 0; step += 1) {
      const { value: entry, done } = this.#sweeper.next();
      if (done === true) this.#sweeper = this.#idle.values();
      else this.#forgetIfFull(entry, nowNs);
    }
  }

  #forgetIfFull(entry: Entry, nowNs: number): boolean {
    if (!this.#view.isFull(entry.cell, nowNs)) return false;
    this.#idle.delete(entry);
    this.#byKey.delete(entry.key);
    this.#byCell[entry.cell] = undefined;
    this.#free.push(entry.cell);
    return true;
  }

  /** Returns the first cell of a new segment; the others are free. */
  #addSegment(): number {
    const firstCell = this.cellCount;
    const segment = new SharedArrayBuffer(CELLS_PER_SEGMENT * BYTES_PER_CELL);
    this.#segments.push(segment);
    this.#view.addSegment(segment);
    for (const listener of this.#listeners) listener(segment);
    // Last in, first out: the low cells are used first.
    for (let cell = firstCell + CELLS_PER_SEGMENT - 1; cell > firstCell; cell -= 1) this.#free.push(cell);
    return firstCell;
  }
}
