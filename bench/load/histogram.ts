// Latencies in buckets that are 1.6 % wide or less, so that recording one costs a few nanoseconds
// and no memory.

/** Buckets to each power of two, so that the widest is 1/64 of its value. */
const STEPS = 64;
const STEP_BITS = 6;
const LARGEST_EXPONENT = 30;

export class Histogram {
  readonly #counts = new Uint32Array(STEPS * (LARGEST_EXPONENT - STEP_BITS + 2));
  #total = 0;

  record(value: number): void {
    const index = bucketOf(value);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#total++;
  }

  /** The lower bound of the bucket in which the given share of the values is reached; 0 without any. */
  percentile(share: number): number {
    const rank = Math.ceil(this.#total * share);
    let seen = 0;
    for (const [index, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= rank && count > 0) return lowerBoundOf(index);
    }
    return 0;
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
  }
}

function bucketOf(value: number): number {
  const whole = Math.min(Math.max(Math.trunc(value), 0), 2 ** LARGEST_EXPONENT);
  if (whole < STEPS) return whole;
  const shift = 31 - Math.clz32(whole) - STEP_BITS;
  return STEPS * shift + (whole >> shift);
}

function lowerBoundOf(index: number): number {
  if (index < 2 * STEPS) return index;
  const shift = Math.floor(index / STEPS) - 1;
  return (STEPS + (index % STEPS)) * 2 ** shift;
}
