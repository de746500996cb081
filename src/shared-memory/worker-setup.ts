// What a worker thread has from its first moment on: above all the memory that it shares with the others.

/** What a worker thread is started with. */
export interface WorkerSetup {
  readonly index: number;
  /** How many there are. */
  readonly threads: number;
  readonly counters: SharedArrayBuffer;
  /** The cells of the buckets; more are announced by message. */
  readonly bucketSegments: readonly SharedArrayBuffer[];
  readonly activity: SharedArrayBuffer;
  readonly eventLoopDelays: SharedArrayBuffer;
  readonly bufferedBytes: SharedArrayBuffer;
  readonly sockets: SocketBudget;
  /** `process.hrtime.bigint()` at the zero of the clock that all threads share. */
  readonly clockEpochNs: bigint;
  /** See the message `ticket-keys`. */
  readonly ticketKeys: Uint8Array;
}

/** The open sockets of clients and to backends. */
export interface SocketBudget {
  /** A 32-bit cell for each thread: how many it has. */
  readonly counts: SharedArrayBuffer;
  /** So many of all threads does the process have files for. */
  readonly room: number;
  /** So many of a thread's clients are never cut, though they ask for nothing. */
  readonly kept: number;
}
