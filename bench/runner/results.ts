// What was measured: by row, by peer, a sample or a failure for each round. In a row about Weir alone, its
// cases stand in the place of the peers.

import type { Sample } from "./row.ts";

export type Outcome = { readonly sample: Sample } | { readonly failure: string };

export class Results {
  readonly #rows = new Map<string, Map<string, Outcome[]>>();

  add(row: string, peer: string, outcome: Outcome): void {
    const peers = this.#rows.get(row) ?? new Map<string, Outcome[]>();
    this.#rows.set(row, peers);
    peers.set(peer, [...(peers.get(peer) ?? []), outcome]);
  }

  peersOf(row: string): string[] {
    return [...(this.#rows.get(row)?.keys() ?? [])];
  }

  /** One for each round; undefined where it failed. */
  values(row: string, peer: string, metric: string): (number | undefined)[] {
    return this.#outcomes(row, peer).map((outcome) =>
      "sample" in outcome ? outcome.sample[metric] : undefined,
    );
  }

  failure(row: string, peer: string): string | null {
    for (const outcome of this.#outcomes(row, peer)) if ("failure" in outcome) return outcome.failure;
    return null;
  }

  toJSON(): Record<string, Record<string, Outcome[]>> {
    return Object.fromEntries([...this.#rows].map(([row, peers]) => [row, Object.fromEntries(peers)]));
  }

  #outcomes(row: string, peer: string): readonly Outcome[] {
    return this.#rows.get(row)?.get(peer) ?? [];
  }
}
