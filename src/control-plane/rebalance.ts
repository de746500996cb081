// After a scale-out: how many connections each backend has too many, and how many of them may be closed
// now. Pure: which connections go, and what they are told, is the owner's.

/** A backend that may be given work. */
export interface Load {
  /** All that it holds, those that are leaving included. */
  readonly connections: number;
  /** Those of them that were told to leave, and have not gone yet. */
  readonly leaving: number;
  /** At this moment: lighter while it starts slowly. */
  readonly weight: number;
  /** Infinity where it has none. */
  readonly capacity: number;
}

/**
 * How many connections of each backend are above its fair share, which goes by weight, and above the skew
 * that is put up with; in the order of `loads`. Not more than the others can take within their own bounds:
 * a client that is sent away must find a place that is not as full.
 *
 * @param maxSkew fraction above the fair share
 */
export function excessConnections(loads: readonly Load[], maxSkew: number): number[] {
  const total = loads.reduce((sum, { connections }) => sum + connections, 0);
  const weights = loads.reduce((sum, { weight }) => sum + weight, 0);
  const perWeight = weights === 0 ? 0 : (total / weights) * (1 + maxSkew);
  let room = 0;
  const overloaded: { index: number; excess: number; load: number }[] = [];
  for (const [index, { connections, leaving, weight, capacity }] of loads.entries()) {
    const limit = Math.ceil(perWeight * weight);
    const excess = connections - leaving - limit;
    if (excess > 0) overloaded.push({ index, excess, load: connections / limit });
    room += Math.max(0, Math.min(limit, capacity) - connections);
    // Those on their way will take a part of it.
    room -= leaving;
  }
  const result = Array.from(loads, () => 0);
  // The fullest first, where not all of them can be helped.
  for (const { index, excess } of overloaded.toSorted((a, b) => b.load - a.load)) {
    const closed = Math.max(0, Math.min(excess, room));
    result[index] = closed;
    room -= closed;
  }
  return result;
}

/** Spreads closes evenly over time. What was not used while there was nothing to close is not saved up. */
export class ClosePacer {
  #allowed = 0;
  #lastMs: number | null = null;

  /**
   * How many of `wanted` connections may be closed now; called again and again, also with 0.
   *
   * @param pace closes per second
   */
  take(wanted: number, pace: number, nowMs: number): number {
    const passedMs = nowMs - (this.#lastMs ?? nowMs);
    this.#lastMs = nowMs;
    if (wanted <= 0) {
      this.#allowed = 0;
      return 0;
    }
    // After a pause, no more than a second's worth at once.
    this.#allowed = Math.min(this.#allowed + (passedMs / 1_000) * pace, Math.max(1, pace));
    const taken = Math.min(wanted, Math.floor(this.#allowed));
    this.#allowed -= taken;
    return taken;
  }
}
