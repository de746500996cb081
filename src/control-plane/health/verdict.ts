// What the results of one backend's checks amount to: up or down, by thresholds. Pure.

interface Thresholds {
  readonly healthyAfter: number;
  readonly unhealthyAfter: number;
}

export class Verdict {
  /** Null until the first result. */
  isUp: boolean | null = null;
  #lastPassed = true;
  /** Results in a row that equal the last one. */
  #inARow = 0;

  /** The last check failed; not that the backend is down. */
  get isFailing(): boolean {
    return !this.#lastPassed;
  }

  /** True where the result decides: the first one alone, then as many in a row as the thresholds ask for. */
  record(hasPassed: boolean, { healthyAfter, unhealthyAfter }: Thresholds): boolean {
    this.#inARow = hasPassed === this.#lastPassed ? this.#inARow + 1 : 1;
    this.#lastPassed = hasPassed;
    if (hasPassed === this.isUp) return false;
    const needed = hasPassed ? healthyAfter : unhealthyAfter;
    if (this.isUp !== null && this.#inARow < needed) return false;
    this.isUp = hasPassed;
    return true;
  }

  /** The check is another one from now on: up or down stays, what was counted does not. */
  startAnew(): void {
    this.#inARow = 0;
  }
}
