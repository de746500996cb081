// Medians and spreads of what several rounds measured.

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Null without any value. */
export function summarise(values: readonly number[]): Summary | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[sorted.length % 2 === 1 ? middle : middle - 1];
  const min = sorted[0];
  const max = sorted.at(-1);
  if (upper === undefined || lower === undefined || min === undefined || max === undefined) return null;
  return { median: (lower + upper) / 2, min, max };
}

/**
 * Value by value, so that a round is compared with the same round of the other: both ran within
 * seconds, on a machine that was equally busy. Rounds that either lacks are left out.
 */
export function ratios(
  values: readonly (number | undefined)[],
  references: readonly (number | undefined)[],
): number[] {
  return values.flatMap((value, round) => {
    const reference = references[round];
    return value === undefined || reference === undefined || reference === 0 ? [] : [value / reference];
  });
}
