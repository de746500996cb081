// What a row of the bench is: all peers measured alike, or Weir alone in several cases. The rows are in the
// files `rows-*`.

import type { Leash } from "./leash.ts";
import type { Session } from "./session.ts";

/** Values by the key of their metric. */
export type Sample = Readonly<Record<string, number>>;

export interface Metric {
  readonly key: string;
  /** With the unit. */
  readonly title: string;
  /** Shown as a ratio to the row's reference, too. */
  readonly isCompared: boolean;
}

/** How much of everything: the whole bench, or a glance that only shows that each row still works. */
export interface Scale {
  readonly warmUpMs: number;
  readonly windowMs: number;
  /** How long the load stands still before memory is looked at. */
  readonly settleMs: number;
  /** The same, where runtimes are also given the time to collect their garbage while they idle. */
  readonly collectMs: number;
  /** Of the row's own number of connections or bytes, this much. */
  of(count: number): number;
}

export const FULL: Scale = {
  warmUpMs: 2000,
  windowMs: 3000,
  settleMs: 3000,
  collectMs: 30_000,
  of: (count) => count,
};

export const SMOKE: Scale = {
  warmUpMs: 20,
  windowMs: 100,
  settleMs: 20,
  collectMs: 20,
  of: (count) => Math.ceil(count / 100),
};

/** The same peer otherwise set up. */
export interface Variant {
  /** Its name is the peer's with this behind a hyphen. */
  readonly suffix: string;
  /** What the peer without it is called in the table. */
  readonly plain: string;
}

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** `all` compares with HAProxy with one thread; a variant compares each peer that has it with itself without. */
  readonly comparison: "all" | Variant;
  /** Memory hardly varies from start to start, and takes long to measure. */
  readonly mostRounds: number;
  /** Leaves no connection open. Throws when the peer fails. */
  measure(session: Session, scale: Scale): Promise<Sample>;
}

/** A row about Weir alone: its table has a line for each case, and it is run once. */
export interface SoloRow {
  readonly name: string;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** Too long for every day: it is only run when it is named. */
  readonly isOnRequest: boolean;
  /** Throws when Weir fails. */
  measure(solo: Solo): Promise<void>;
}

export interface Solo {
  readonly leash: Leash;
  readonly scale: Scale;
  readonly record: (caseName: string, sample: Sample) => void;
}
