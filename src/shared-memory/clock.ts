// A monotonic clock that all threads agree on: `performance.now()` begins anew in each.

const NS_PER_MS = 1e6;

export class SharedClock {
  /** `process.hrtime.bigint()` at the clock's zero. */
  readonly epochNs: bigint;

  constructor(epochNs: bigint = process.hrtime.bigint()) {
    this.epochNs = epochNs;
  }

  /** Nanoseconds; exact for 104 days. */
  nowNs(): number {
    return Number(process.hrtime.bigint() - this.epochNs);
  }

  nowMs(): number {
    return this.nowNs() / NS_PER_MS;
  }
}
