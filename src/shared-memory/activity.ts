// When each connection's client was last heard of: one cell a connection, written by its worker thread and
// read by the main thread. Coarse, so that it costs the message path a plain store.

/** Cells at the most; the system backs only the pages that are written. */
const MAX_CELLS = 1_048_576;

/** The cells as a thread sees them: milliseconds on a clock that all threads share. */
export function activityCells(buffer: SharedArrayBuffer): Float64Array {
  return new Float64Array(buffer);
}

/** Hands cells out and takes them back; main thread only. */
export class ActivityTable {
  readonly buffer = new SharedArrayBuffer(MAX_CELLS * Float64Array.BYTES_PER_ELEMENT);
  readonly #cells = activityCells(this.buffer);
  readonly #free: number[] = [];
  #used = 0;

  /** A cell that says `nowMs`. Throws RangeError past 1 048 576 connections. */
  acquire(nowMs: number): number {
    const cell = this.#free.pop() ?? this.#used;
    if (cell === MAX_CELLS) throw new RangeError(`more than ${MAX_CELLS} connections`);
    if (cell === this.#used) this.#used += 1;
    this.#cells[cell] = nowMs;
    return cell;
  }

  release(cell: number): void {
    this.#free.push(cell);
  }

  /** Milliseconds since the client of this cell was heard of. */
  silenceMs(cell: number, nowMs: number): number {
    return nowMs - (this.#cells[cell] ?? nowMs);
  }
}
