// How many plain requests each thread has in flight. The threads tell it only while Weir drains, which
// is what waits for them.

export class RequestCounts {
  readonly #byThread = new Map<number, number>();

  get total(): number {
    return [...this.#byThread.values()].reduce((total, requests) => total + requests, 0);
  }

  /** @param worker serial of the thread */
  set(worker: number, requests: number): void {
    this.#byThread.set(worker, requests);
  }

  /** The thread is gone, and its requests with it. */
  forget(worker: number): void {
    this.#byThread.delete(worker);
  }
}
