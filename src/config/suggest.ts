// "did you mean": the known word nearest to one that is not known.

/** Nobody typed a longer one, and the distance costs the square of it. */
const MAX_LENGTH = 200;

/** The candidate that a typing error could have turned into `word`; null if none is near. */
export function nearestWord(word: string, candidates: Iterable<string>): string | null {
  if (word.length > MAX_LENGTH) return null;
  const lower = word.toLowerCase();
  let nearest: string | null = null;
  // A third of the letters may differ: enough for typing errors, too few for another word.
  let best = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(lower, candidate.toLowerCase(), best);
    if (distance < best) [nearest, best] = [candidate, distance];
  }
  return nearest;
}

/** ` (did you mean X?)`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const nearest = nearestWord(word, candidates);
  return nearest === null ? "" : ` (did you mean ${nearest}?)`;
}

/** Words that are looked for among all others; more than these, in one configuration, are no typing errors. */
const MAX_SEARCHES = 100;

/** `didYouMean` for any number of words and candidates. */
export class Suggestions {
  readonly #candidates: Iterable<string>;
  readonly #found = new Map<string, string>();

  constructor(candidates: Iterable<string>) {
    this.#candidates = candidates;
  }

  /** ` (did you mean X?)`, or nothing. */
  for(word: string): string {
    const known = this.#found.get(word);
    if (known !== undefined) return known;
    if (this.#found.size >= MAX_SEARCHES) return "";
    const suggestion = didYouMean(word, this.#candidates);
    this.#found.set(word, suggestion);
    return suggestion;
  }
}

/**
 * Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and
 * swaps of neighbours. Gives up with `limit` as soon as the lengths alone reach it.
 */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let cost = Math.min(
        at(previous, j) + 1,
        at(current, j - 1) + 1,
        at(previous, j - 1) + (isSame ? 0 : 1),
      );
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) cost = Math.min(cost, at(beforePrevious, j - 2) + 1);
      current.push(cost);
    }
    [beforePrevious, previous] = [previous, current];
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
