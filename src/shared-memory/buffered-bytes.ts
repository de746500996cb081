// How many bytes wait in Weir for clients and backends that have not taken them yet: two cells for each worker
// thread, which it writes as it looks at its connections, and which the main thread adds up.

const SIDES = ["client", "backend"] as const;

type Side = (typeof SIDES)[number];

/** What a worker thread writes. */
export class BufferedBytesCells {
  readonly #cells: Float64Array;
  readonly #base: number;

  constructor(buffer: SharedArrayBuffer, thread: number) {
    this.#cells = new Float64Array(buffer);
    this.#base = thread * SIDES.length;
    // Those of the thread that was here before are gone.
    this.set(0, 0);
  }

  set(client: number, backend: number): void {
    this.#cells[this.#base] = client;
    this.#cells[this.#base + 1] = backend;
  }
}

/** Main thread only. */
export class BufferedBytes {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Float64Array;

  constructor(threads: number) {
    this.buffer = new SharedArrayBuffer(threads * SIDES.length * Float64Array.BYTES_PER_ELEMENT);
    this.#cells = new Float64Array(this.buffer);
  }

  /** Over all threads. */
  total(side: Side): number {
    let total = 0;
    for (let at = SIDES.indexOf(side); at < this.#cells.length; at += SIDES.length) {
      total += this.#cells[at] ?? 0;
    }
    return total;
  }
}
