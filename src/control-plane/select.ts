// How a backend is chosen among those that may be given work. Pure: counts in, one backend out.

import type { Backend } from "./backend.ts";

/**
 * Weighted least-connections: the backend that would have the fewest connections per weight with this
 * one added. Ties are drawn evenly by reservoir sampling, so that equal backends fill alike and the
 * first of the list is not favoured. Null where `candidates` is empty.
 *
 * @param random uniform in [0, 1)
 */
export function selectLeastConnections(
  candidates: Iterable<Backend>,
  random: () => number = Math.random,
): Backend | null {
  let best: Backend | null = null;
  let bestLoad = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (const candidate of candidates) {
    const load = (candidate.connections + 1) / candidate.config.weight;
    if (load < bestLoad) {
      best = candidate;
      bestLoad = load;
      ties = 1;
    } else if (load === bestLoad) {
      ties += 1;
      if (random() * ties < 1) best = candidate;
    }
  }
  return best;
}
