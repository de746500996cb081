// Counters that cost the message path one plain addition: each thread owns a block of cells that it
// alone writes, and the main thread sums the blocks when it is asked. No locks, no messages.

/** The figures kept for every slot; a slot is one pair of tier and pool. */
export const Counter = {
  messagesToBackend: 0,
  messagesToClient: 1,
  bytesToBackend: 2,
  bytesToClient: 3,
  messagesDelayed: 4,
  messagesDropped: 5,
  messagesClosedOn: 6,
  messagesLogged: 7,
} as const;

export type CounterName = keyof typeof Counter;

const CELLS_PER_SLOT = Object.keys(Counter).length;

/** Pairs of tier and pool that have a slot, at most. */
export const MAX_PAIRS = 16_384;

/**
 * The cells of one thread. They are 64-bit floats: whole numbers stay exact up to 2^53, and an aligned
 * 8-byte store is not torn on the 64-bit platforms that Node runs on. The memory is reserved whole, but
 * the system only backs the pages that are written, so an unused slot costs nothing.
 */
export class CounterBlock {
  readonly cells: Float64Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(MAX_PAIRS * CELLS_PER_SLOT * 8)) {
    this.cells = new Float64Array(buffer);
  }

  /** What a worker is given to build its view of the same cells. */
  get buffer(): SharedArrayBuffer {
    return this.cells.buffer as SharedArrayBuffer;
  }
}

interface Pair {
  readonly tier: string;
  readonly pool: string;
}

/** Hands out slots and adds the threads' cells up; main thread only. */
export class Counters {
  readonly #blocks: CounterBlock[] = [];
  readonly #slots = new Map<string, Pair & { readonly base: number }>();

  /** A new thread's cells. They stay counted after the thread is gone: totals never fall. */
  addBlock(): CounterBlock {
    const block = new CounterBlock();
    this.#blocks.push(block);
    return block;
  }

  /** Whether each of the pairs has a slot or can get one. */
  canHold(pairs: readonly Pair[]): boolean {
    const news = new Set(pairs.map((pair) => keyOf(pair)).filter((key) => !this.#slots.has(key)));
    return this.#slots.size + news.size <= MAX_PAIRS;
  }

  /** Index of the first cell of the pair's slot. Throws RangeError where it cannot hold it. */
  slotOf(tier: string, pool: string): number {
    const key = keyOf({ tier, pool });
    const known = this.#slots.get(key);
    if (known !== undefined) return known.base;
    if (this.#slots.size === MAX_PAIRS) {
      throw new RangeError(`more than ${MAX_PAIRS} pairs of tier and pool are counted`);
    }
    const base = this.#slots.size * CELLS_PER_SLOT;
    this.#slots.set(key, { tier, pool, base });
    return base;
  }

  /** Every slot with its total of one counter over all threads. */
  *totals(counter: CounterName): Generator<Pair & { readonly total: number }> {
    for (const { tier, pool, base } of this.#slots.values()) {
      let total = 0;
      for (const block of this.#blocks) total += block.cells[base + Counter[counter]] ?? 0;
      yield { tier, pool, total };
    }
  }
}

function keyOf({ tier, pool }: Pair): string {
  return `${tier}\n${pool}`;
}
