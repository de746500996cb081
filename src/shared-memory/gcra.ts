// One token bucket in a cell of shared memory, exact across threads and lock-free. It is kept as GCRA: one
// timestamp, the theoretical arrival time, which is when the bucket will be full again. Nothing has to be
// refilled, so no fraction of a token is ever lost. It knows no users and reads no clock.

/** `rate` tokens per second (fractions allowed) refill a bucket that holds `burst` of them. */
export interface Limit {
  readonly rate: number;
  readonly burst: number;
}

/** First the arrival time; then the capacity in time of the limit that used the cell last. */
const WORDS_PER_CELL = 2;

export const BYTES_PER_CELL = WORDS_PER_CELL * Float64Array.BYTES_PER_ELEMENT;

/**
 * Tokens taken one by one add up the rounding of each addition. The bucket is deeper by this part of a
 * token, once, or by what refills in 1 µs if that is less, so that the last token of a burst is not refused
 * for a billionth of itself.
 */
const SLACK_TOKENS = 0.001;
const MAX_SLACK_NS = 1000;

/**
 * A wait that ended late counts as ended in time, up to this lateness, and what is read soon after it as read
 * at once. Without that a bucket smaller than what refills within a timer's lateness, or until the next read,
 * would overflow each time, and its user would stay below the rate.
 */
const MAX_LATENESS_NS = 100_000_000;

/** Time in which nobody waits: longer than this, and it was the user who paused. */
const MAX_READING_NS = 20_000_000;

// Only integers can be swapped atomically; a float passes as its bits. The clock and the sums stay plain
// numbers, which halves the cost of a call against bigint arithmetic.
const scratch = new Float64Array(2);
const scratchBits = new BigInt64Array(scratch.buffer);

/** The cells of one piece of shared memory: as the floats they hold, and as the bits that are swapped. */
export class BucketCells {
  readonly floats: Float64Array;
  readonly #bits: BigInt64Array;

  constructor(buffer: SharedArrayBuffer) {
    this.floats = new Float64Array(buffer);
    this.#bits = new BigInt64Array(buffer);
  }

  /** A full bucket is like a new one, whatever its limit. */
  isFull(cell: number, nowNs: number): boolean {
    return (this.floats[cell * WORDS_PER_CELL] ?? 0) <= nowNs;
  }

  /** Writes `next` if the word still holds `expected`. */
  swap(word: number, expected: number, next: number): boolean {
    scratch[0] = expected;
    scratch[1] = next;
    const expectedBits = scratchBits[0] ?? 0n;
    return Atomics.compareExchange(this.#bits, word, expectedBits, scratchBits[1] ?? 0n) === expectedBits;
  }
}

/**
 * One connection's handle of a bucket that it shares with other connections and threads.
 *
 * Times are nanoseconds since a moment that all threads agree on, shortly before the first use: a float
 * counts single nanoseconds for 104 days and is off by 4 after a year. A time that is behind that of
 * another thread only makes the bucket stricter.
 *
 * The limit belongs to the handle. When it changes, the arrival time stays, and so do all reservations; only
 * what had been spent of a bucket that took longer to fill is cut to the new capacity, so that nobody goes
 * on paying for the slower limit of before. The cell remembers the capacity it was used with, so this
 * happens once however many connections share it, and also for a user who was away during the change.
 */
export class Bucket {
  readonly #cells: BucketCells;
  readonly #word: number;
  #burst = 0;
  /** What one token takes to refill. */
  #intervalNs = 0;
  /** What the whole bucket takes to refill. */
  #capacityNs = 0;
  /** When the last of what was taken after a wait conformed; -Infinity when there was no wait. */
  #conformedAtNs = -Infinity;
  /** When the last wait was seen to be over. */
  #wentOnAtNs = -Infinity;
  #reserved = 0;
  #reservedIntervalNs = 0;

  /** Throws RangeError for a limit that lets nothing through. */
  constructor(cells: BucketCells, cell: number, limit: Limit) {
    this.#cells = cells;
    this.#word = cell * WORDS_PER_CELL;
    this.changeLimit(limit);
  }

  changeLimit({ rate, burst }: Limit): void {
    if (!(rate > 0 && burst > 0)) throw new RangeError(`${rate}/s with burst ${burst} lets nothing through`);
    this.#burst = burst;
    this.#intervalNs = 1e9 / rate;
    const slackNs = Math.min(SLACK_TOKENS * this.#intervalNs, MAX_SLACK_NS);
    this.#capacityNs = burst * this.#intervalNs + slackNs;
  }

  /** Takes up to `n` tokens and returns how many; where it is none, nothing is written. */
  take(n: number, nowNs: number): number {
    this.#adoptLimit(nowNs);
    const earliestNs = this.#earliestNs(nowNs);
    for (;;) {
      const arrivalNs = this.#arrivalNs();
      const fromNs = Math.max(arrivalNs, earliestNs);
      const taken = this.#conforming(n, fromNs - nowNs);
      if (taken === 0) return 0;
      const nextNs = fromNs + taken * this.#intervalNs;
      if (!this.#cells.swap(this.#word, arrivalNs, nextNs)) continue;
      this.#conformedAtNs = earliestNs < nowNs ? nextNs - this.#capacityNs : -Infinity;
      return taken;
    }
  }

  /** What `take` would return; takes nothing. */
  conforming(n: number, nowNs: number): number {
    return this.#conforming(n, this.#aheadNs(nowNs));
  }

  /** How many nanoseconds it takes until `n` tokens are there, if nobody takes any; takes nothing. */
  waitNs(n: number, nowNs: number): number {
    return Math.max(0, this.#aheadNs(nowNs) + n * this.#intervalNs - this.#capacityNs);
  }

  /**
   * Takes `n` tokens whether they are there or not and returns how many nanoseconds it takes until the
   * debt is paid; 0 without debt. The caller lets nothing more through until then. Being late for it costs
   * no rate, above all if the caller tells so by `goOn`.
   */
  charge(n: number, nowNs: number): number {
    this.#adoptLimit(nowNs);
    const earliestNs = this.#earliestNs(nowNs);
    let arrivalNs: number;
    let nextNs: number;
    do {
      arrivalNs = this.#arrivalNs();
      nextNs = Math.max(arrivalNs, earliestNs) + n * this.#intervalNs;
    } while (!this.#cells.swap(this.#word, arrivalNs, nextNs));
    const conformsAtNs = nextNs - this.#capacityNs;
    this.#conformedAtNs = earliestNs < nowNs || conformsAtNs > nowNs ? conformsAtNs : -Infinity;
    return Math.max(0, conformsAtNs - nowNs);
  }

  /**
   * Books the next `n` tokens and returns how many nanoseconds it takes until the last of them is there;
   * 0 if it is. A connection has one reservation at a time: a new one means that the one before was used.
   */
  reserve(n: number, nowNs: number): number {
    this.#reserved = n;
    this.#reservedIntervalNs = this.#intervalNs;
    return this.charge(n, nowNs);
  }

  /** Whoever waited goes on. It is late by no fault of the user's: a thread may be kept from its timers. */
  goOn(nowNs: number): void {
    this.#wentOnAtNs = nowNs;
  }

  /**
   * Gives back up to `n` tokens of the reservation, for a connection that dies while it waits. Others that
   * reserved after it keep their waits; what it leaves goes to whoever asks next.
   */
  unreserve(n: number): void {
    const returned = Math.min(n, this.#reserved);
    this.#reserved -= returned;
    this.#giveBack(returned * this.#reservedIntervalNs);
  }

  /** Puts back `n` tokens that were taken under the present limit. */
  refund(n: number): void {
    this.#giveBack(n * this.#intervalNs);
  }

  /** Tokens in the bucket, with fractions; below 0 while it is in debt. */
  level(nowNs: number): number {
    return Math.min(this.#burst, (this.#capacityNs - this.#aheadNs(nowNs)) / this.#intervalNs);
  }

  // A plain read: an aligned 8-byte load is not torn on the 64-bit platforms that Node runs on, and a value
  // that another thread has just changed fails the swap.
  #arrivalNs(): number {
    return this.#cells.floats[this.#word] ?? 0;
  }

  #formerCapacityNs(): number {
    return this.#cells.floats[this.#word + 1] ?? 0;
  }

  /** From when on the bucket may be refilled: from now on, or from the wait on that has ended late. */
  #earliestNs(nowNs: number): number {
    const conformedAtNs = this.#conformedAtNs;
    if (conformedAtNs === -Infinity || conformedAtNs >= nowNs) return nowNs;
    if (nowNs - Math.max(conformedAtNs, this.#wentOnAtNs) > MAX_READING_NS) return nowNs;
    return Math.max(conformedAtNs, nowNs - MAX_LATENESS_NS);
  }

  /** How long the bucket takes from now until it is full; below 0 for what a late wait is owed. */
  #aheadNs(nowNs: number): number {
    const aheadNs = Math.max(this.#arrivalNs(), this.#earliestNs(nowNs)) - nowNs;
    return aheadNs - this.#surplusNs(aheadNs, this.#formerCapacityNs());
  }

  #conforming(n: number, aheadNs: number): number {
    return Math.max(0, Math.min(n, Math.floor((this.#capacityNs - aheadNs) / this.#intervalNs)));
  }

  /** The part of what was spent under a limit of greater capacity that this one never lent. */
  #surplusNs(aheadNs: number, formerCapacityNs: number): number {
    return Math.max(0, Math.min(aheadNs, formerCapacityNs) - this.#capacityNs);
  }

  #adoptLimit(nowNs: number): void {
    const formerNs = this.#formerCapacityNs();
    if (formerNs === this.#capacityNs) return;
    // Whoever writes the capacity also cuts the debt, so that several threads do not cut it twice.
    if (!this.#cells.swap(this.#word + 1, formerNs, this.#capacityNs)) return;
    let arrivalNs: number;
    let surplusNs: number;
    do {
      arrivalNs = this.#arrivalNs();
      surplusNs = this.#surplusNs(arrivalNs - nowNs, formerNs);
    } while (surplusNs > 0 && !this.#cells.swap(this.#word, arrivalNs, arrivalNs - surplusNs));
  }

  #giveBack(durationNs: number): void {
    if (durationNs === 0) return;
    let arrivalNs: number;
    do arrivalNs = this.#arrivalNs();
    while (!this.#cells.swap(this.#word, arrivalNs, arrivalNs - durationNs));
  }
}

/**
 * Takes up to `n` tokens from each of two buckets, as many from one as from the other, and returns how many.
 * Only when another thread empties the second bucket at that very moment is the first one charged for an
 * instant and refunded.
 */
export function takeBoth(first: Bucket, second: Bucket, n: number, nowNs: number): number {
  const wanted = Math.min(first.conforming(n, nowNs), second.conforming(n, nowNs));
  if (wanted === 0) return 0;
  const fromFirst = first.take(wanted, nowNs);
  const fromSecond = second.take(fromFirst, nowNs);
  first.refund(fromFirst - fromSecond);
  return fromSecond;
}
