// What the runner and the processes of the load say to each other over their IPC channels.

/** Of a slow reader: nothing is read for `firstPauseMs`, then `burstBytes` at a time, `pauseMs` apart. */
export interface SlowReader {
  readonly firstPauseMs: number;
  readonly burstBytes: number;
  readonly pauseMs: number;
}

export type LoadCommand =
  /** Opens this many more connections. */
  | { readonly kind: "open"; readonly connections: number }
  /** Lets every open connection send, with so many messages in flight on each, until `stop`. */
  | { readonly kind: "flow"; readonly messageBytes: number; readonly inFlight: number }
  /** One message there and back on every open connection. */
  | { readonly kind: "ping"; readonly messageBytes: number }
  /** Opens and closes connections, `parallel` at a time, until `total` are done or until `stop`. */
  | {
      readonly kind: "cycle";
      readonly parallel: number;
      readonly total: number;
      /** Each is a user of its own, counted from this number on, who has a message echoed before the end. */
      readonly firstUser?: number;
    }
  /** Sends one message of this size on a connection of its own, and reads its echo. */
  | { readonly kind: "huge"; readonly bytes: number; readonly slowReader?: SlowReader }
  /** Ends what `flow` or `cycle` began, and closes every connection. */
  | { readonly kind: "stop" }
  /** Reports. */
  | { readonly kind: "look" }
  /** Reports, and starts to count anew. */
  | { readonly kind: "mark" };

/** What happened since the last `mark`. Every command is answered with one, when it is done. */
export interface LoadReport {
  readonly elapsedMs: number;
  /** Messages that came back whole. */
  readonly messages: number;
  /** Connections that were opened and, in a cycle, closed again. */
  readonly upgrades: number;
  readonly failures: number;
  readonly firstFailure: string;
  /** Of the failures, those before the 101. */
  readonly refusals: number;
  /** Connections that wait for a message for so long that it must be lost. */
  readonly stalled: number;
  /** Round trip, or in a cycle the time to the 101; 0 when none was timed. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  readonly openConnections: number;
}

/** One user who sends on all connections as fast as the proxy reads. */
export interface Flood {
  readonly port: number;
  readonly path: string;
  readonly user: string;
  readonly connections: number;
  readonly messageBytes: number;
  /** From the first message that gets through. */
  readonly windowMs: number;
}

export interface FloodReport {
  /** Those that reached the backend whole within the window. */
  readonly messages: number;
}

/** What a crowd does: many clients that say nothing of their own accord. */
export type CrowdCommand =
  /** So many more come, and stay until they are told goodbye. */
  | { readonly kind: "gather"; readonly port: number; readonly clients: number }
  /** So many come in a second, and leave as soon as they are let in, until `end`. */
  | { readonly kind: "pass"; readonly port: number; readonly perSecond: number }
  /** Nobody comes any more; done when all are gone. */
  | { readonly kind: "end" }
  | { readonly kind: "look" };

export interface CrowdReport {
  readonly present: number;
  readonly opened: number;
  readonly pings: number;
  /** Those that were not let in. */
  readonly failures: number;
  readonly firstFailure: string;
  /** Those that were let in, and ended without a Close. */
  readonly lost: number;
  /** When each that got 1001 was gone. */
  readonly goodbyesAtMs: readonly number[];
}

/** What a client that means harm does. */
export type Attack =
  /** So many sockets with heads that never end, a byte at a time; those that are cut off come back. */
  | { readonly kind: "trickle"; readonly sockets: number; readonly everyMs: number }
  /** So many sockets that say nothing, opened as fast as can be; those that are cut off come back. */
  | { readonly kind: "silent"; readonly sockets: number }
  /** Upgrades that are refused, of every kind in turn, each on a socket of its own. */
  | { readonly kind: "bad-upgrades"; readonly perSecond: number }
  | { readonly kind: "stop" }
  | { readonly kind: "look" };

export interface AttackReport {
  /** Sockets that trickle or are silent. */
  readonly open: number;
  /** Those that ever were. */
  readonly opened: number;
  /** Sockets that were answered or cut off, in all. */
  readonly refused: number;
  /** Of the bad upgrades, those that were answered otherwise than they must be. */
  readonly unexpected: number;
  /** Sockets that broke. */
  readonly failures: number;
}

export interface Request<Command> {
  readonly id: number;
  readonly command: Command;
}

export interface Answer<Report> {
  readonly id: number;
  readonly report?: Report;
  readonly error?: string;
}
