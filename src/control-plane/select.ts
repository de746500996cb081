// How a backend is chosen among those that may be given work. Counts, weights and chance in, one backend
// out; nothing is remembered but the turns that round-robin owes. A pick allocates nothing, however long
// the list is.

import type { PoolConfig } from "../config/schema.ts";
import type { Backend } from "./backend.ts";
import { hashOf, mix } from "./hash.ts";

export interface SelectContext {
  readonly nowMs: number;
  readonly slowStartMs: number | null;
  readonly user: string;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

/**
 * Chooses one of `candidates`, which are ready and have room; null where there is none. A backend whose
 * weight is 0 gets no work. While a backend starts slowly, each algorithm takes it for as light as it is.
 */
export function select(
  balance: PoolConfig["balance"],
  candidates: readonly Backend[],
  context: SelectContext,
): Backend | null {
  switch (balance) {
    case "least-connections":
      return selectLeastConnections(candidates, context);
    case "round-robin":
      return selectInTurn(candidates, context);
    case "random":
      return selectRandom(candidates, context);
    case "consistent-hash":
      return selectByHash(candidates, context);
    default:
      return balance satisfies never;
  }
}

/**
 * The backend that would have the fewest connections per weight with this one added. Ties are drawn
 * evenly by reservoir sampling, so that equal backends fill alike and the first of the list is not favoured.
 */
function selectLeastConnections(candidates: readonly Backend[], context: SelectContext): Backend | null {
  const { nowMs, slowStartMs, random = Math.random } = context;
  let best: Backend | null = null;
  let bestLoad = Number.POSITIVE_INFINITY;
  let ties = 0;
  for (const candidate of candidates) {
    const load = (candidate.connections + 1) / candidate.effectiveWeight(nowMs, slowStartMs);
    if (load < bestLoad) {
      best = candidate;
      bestLoad = load;
      ties = 1;
    } else if (load === bestLoad && best !== null) {
      ties += 1;
      if (random() * ties < 1) best = candidate;
    }
  }
  return best;
}

/**
 * Smooth weighted round-robin, as nginx does it: each pick brings every candidate its share of a turn, and
 * the one that is owed the most gets the turn. Shares are exact, and a heavy backend's turns are spread
 * between the others'. Counted in turns instead of weights, so that no debt outgrows a change of weights.
 * A backend that is left out for a while, full or down, is owed what it was, and a changed list disturbs
 * nobody else.
 */
function selectInTurn(candidates: readonly Backend[], context: SelectContext): Backend | null {
  const { nowMs, slowStartMs } = context;
  const total = totalWeight(candidates, context);
  let best: Backend | null = null;
  for (const candidate of candidates) {
    const weight = candidate.effectiveWeight(nowMs, slowStartMs);
    if (weight <= 0) continue;
    candidate.turnsOwed += weight / total;
    if (best === null || candidate.turnsOwed > best.turnsOwed) best = candidate;
  }
  if (best !== null) best.turnsOwed -= 1;
  return best;
}

/** Each with the probability of its share of the weights. */
function selectRandom(candidates: readonly Backend[], context: SelectContext): Backend | null {
  const { nowMs, slowStartMs, random = Math.random } = context;
  let left = random() * totalWeight(candidates, context);
  let last: Backend | null = null;
  for (const candidate of candidates) {
    const weight = candidate.effectiveWeight(nowMs, slowStartMs);
    if (weight <= 0) continue;
    left -= weight;
    if (left < 0) return candidate;
    last = candidate;
  }
  // The rounding of the differences may leave a trace of the last one's share.
  return last;
}

function totalWeight(candidates: readonly Backend[], { nowMs, slowStartMs }: SelectContext): number {
  let total = 0;
  for (const candidate of candidates) total += candidate.effectiveWeight(nowMs, slowStartMs);
  return total;
}

/**
 * Weighted rendezvous hashing: each pair of user and backend has its own fixed number u in (0, 1), and
 * the greatest -weight / ln(u) wins. A user's backend depends on nothing but the weights of those in the
 * list, so that one that is added takes its share and one that is removed leaves its share, and nobody
 * else moves. Processes with the same pools agree without talking.
 */
function selectByHash(
  candidates: readonly Backend[],
  { user, nowMs, slowStartMs }: SelectContext,
): Backend | null {
  const userHash = hashOf(user);
  let best: Backend | null = null;
  // Looked for is the least -ln(u) / weight.
  let bestScore = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const weight = candidate.effectiveWeight(nowMs, slowStartMs);
    if (weight <= 0) continue;
    const u = (mix(userHash ^ candidate.hashSeed) + 0.5) / 2 ** 32;
    // As ln(u) <= u - 1, this one cannot win. A logarithm is thus taken for a handful of a thousand.
    if (1 - u > bestScore * weight) continue;
    const score = -Math.log(u) / weight;
    const isBetter =
      score < bestScore || (score === bestScore && best !== null && candidate.hashSeed < best.hashSeed);
    if (!isBetter) continue;
    best = candidate;
    bestScore = score;
  }
  return best;
}
