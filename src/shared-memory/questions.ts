// What the control plane asks a data-plane thread about its connections, beside the message path: figures that
// are looked up when somebody wants to see them, and never counted for that.

import type { AskedRequest, RequestExplanation } from "./explanation.ts";

export type Question =
  | { readonly kind: "connections"; readonly ids: readonly number[] }
  /** Users with the most traffic since the same question was asked before. */
  | { readonly kind: "busiest" }
  /** A text to the clients of a route and tier; null for any. */
  | {
      readonly kind: "notice";
      readonly text: string;
      readonly route: string | null;
      readonly tier: string | null;
    }
  /** How far a request would get that nobody has sent. */
  | { readonly kind: "explanation"; readonly asked: AskedRequest }
  /** Nothing: what the thread had to tell, and was in no hurry to, comes before the answer. */
  | { readonly kind: "news" };

export type Answer =
  /** Without those that are not open (any more). */
  | { readonly kind: "connections"; readonly connections: readonly ConnectionFacts[] }
  | { readonly kind: "busiest"; readonly users: readonly UserTraffic[] }
  /** How many clients get it. */
  | { readonly kind: "notice"; readonly clients: number }
  | { readonly kind: "explanation"; readonly explanation: RequestExplanation }
  | { readonly kind: "news" };

interface PerDirection {
  readonly clientToBackend: number;
  readonly backendToClient: number;
}

interface PerSide<Figure> {
  readonly client: Figure;
  readonly backend: Figure;
}

/** What only its thread knows of an open connection. */
export interface ConnectionFacts {
  readonly id: number;
  readonly address: string;
  readonly requestId: string;
  /** ISO 8601. */
  readonly openedAt: string;
  readonly messages: PerDirection;
  readonly bytes: PerDirection;
  /** Messages above a limit, whatever was done with them. */
  readonly limited: number;
  /** Of Weir's last ping; null before the first answer. */
  readonly roundTripMs: PerSide<number | null>;
  /** Written and not taken yet, by the side that it is for. */
  readonly bufferedBytes: PerSide<number>;
}

/** One user's traffic on one thread, both directions together. */
export interface UserTraffic {
  readonly user: string;
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly limitedPerSecond: number;
}

/** What users are compared by: a message costs about as much as a KiB. */
export function weightOf({ messagesPerSecond, bytesPerSecond }: UserTraffic): number {
  return messagesPerSecond + bytesPerSecond / 1_024;
}
