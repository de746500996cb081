// Tells the main thread when each client was last heard of, for those who look for a silent one. It looks at
// all connections now and then, so that the message path keeps no times.

import type { SharedClock } from "../shared-memory/clock.ts";

const SWEEP_INTERVAL_MS = 2_000;

export interface WatchedConnection {
  readonly grant: { readonly activityCell: number | null };
  readonly clientBytesRead: number;
  readonly isClientPaused: boolean;
}

export class ActivityWatch {
  readonly #cells: Float64Array;
  readonly #clock: Pick<SharedClock, "nowMs">;
  /** What had been read from each client when it was last looked at. */
  readonly #bytesSeen = new Map<WatchedConnection, number>();
  /** Runs while there are connections. */
  #timer: NodeJS.Timeout | null = null;

  /** @param cells milliseconds on the clock that all threads share, by `activityCell` */
  constructor(cells: Float64Array, clock: Pick<SharedClock, "nowMs">) {
    this.#cells = cells;
    this.#clock = clock;
  }

  start(connection: WatchedConnection): void {
    this.#bytesSeen.set(connection, connection.clientBytesRead);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS);
  }

  stop(connection: WatchedConnection): void {
    this.#bytesSeen.delete(connection);
    if (this.#bytesSeen.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    for (const [connection, bytesSeen] of this.#bytesSeen) {
      const { grant, clientBytesRead, isClientPaused } = connection;
      if (clientBytesRead === bytesSeen && !isClientPaused) continue;
      if (clientBytesRead !== bytesSeen) this.#bytesSeen.set(connection, clientBytesRead);
      if (grant.activityCell !== null) this.#cells[grant.activityCell] = nowMs;
    }
  }
}
