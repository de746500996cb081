// Passive health: when the failures that real traffic meets are enough to eject a backend, for how long,
// and whether its pool can spare it. Pure: the owner brings clock, configuration and the ejection itself.

import type { PoolConfig } from "../config/schema.ts";
import type { FailureKind } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";

type OutlierConfig = NonNullable<PoolConfig["outlier"]>;

/** Lost connections count only where so many of them are lost within this time that it was the backend. */
const BURST_MS = 1_000;

/** Share of a backend's connections that a burst takes at the least. */
const BURST_SHARE = 0.1;

/** Ejections in a row make the time longer up to this factor. */
const MAX_EJECT_FACTOR = 10;

/** What one network can bring about alone ejects nobody, however low `failures` is. */
const MIN_NETWORKS = 2;

export interface Failure {
  readonly kind: FailureKind;
  /** Of the client that met it. Not its user: a client may be able to choose that anew. */
  readonly network: string;
  readonly nowMs: number;
  /** Those that the backend still has, without the one that was lost. */
  readonly connections: number;
  readonly config: OutlierConfig;
}

/** The recent failures of one backend, and its ejections in a row. */
export class FailureWindow {
  /** When a connect failed; no client can bring that about, so each of them counts. */
  readonly #connectsMs: number[] = [];
  /** Networks whose clients met a failure that a client can provoke, and when they last did; each counts once. */
  readonly #networksMs = new Map<string, number>();
  readonly #lost: { readonly network: string; readonly atMs: number }[] = [];
  readonly #lostByNetwork = new Map<string, number>();
  #ejectFactor = 0;
  #ejectedUntilMs = Number.NEGATIVE_INFINITY;

  /** True when this one makes the backend an outlier; the counting begins anew then. Not for one that is ejected. */
  record(failure: Failure): boolean {
    const isReached = failure.kind === "lost" ? this.#addLost(failure) : this.#add(failure);
    if (isReached) this.#clear();
    return isReached;
  }

  /**
   * Begins an ejection; returns how long it is, in milliseconds. The time grows with each ejection in a
   * row, and one of them is forgiven for every `eject` that passes without one.
   */
  eject({ eject }: OutlierConfig, nowMs: number): number {
    const forgiven = Math.max(0, Math.floor((nowMs - this.#ejectedUntilMs) / eject));
    this.#ejectFactor = Math.min(Math.max(0, this.#ejectFactor - forgiven) + 1, MAX_EJECT_FACTOR);
    const ejectMs = eject * this.#ejectFactor;
    this.#ejectedUntilMs = nowMs + ejectMs;
    return ejectMs;
  }

  /** The ejection is over, perhaps before its time. */
  readmit(nowMs: number): void {
    this.#ejectedUntilMs = Math.min(this.#ejectedUntilMs, nowMs);
  }

  #add({ kind, network, nowMs, config: { failures, window } }: Failure): boolean {
    if (kind === "connect") {
      this.#connectsMs.push(nowMs);
    } else {
      // In the order of their times, as a Map keeps a known key in its place.
      this.#networksMs.delete(network);
      this.#networksMs.set(network, nowMs);
    }
    this.#forgetUntil(nowMs - window);
    const connects = this.#connectsMs.length;
    const networks = this.#networksMs.size;
    return connects + networks >= failures && (connects > 0 || networks >= MIN_NETWORKS);
  }

  #addLost({ network, nowMs, connections, config: { failures } }: Failure): boolean {
    this.#forgetLostUntil(nowMs - BURST_MS);
    this.#lost.push({ network, atMs: nowMs });
    this.#lostByNetwork.set(network, (this.#lostByNetwork.get(network) ?? 0) + 1);
    const networks = this.#lostByNetwork.size;
    const had = connections + this.#lost.length;
    return networks >= Math.max(failures, MIN_NETWORKS) && this.#lost.length >= had * BURST_SHARE;
  }

  #forgetUntil(untilMs: number): void {
    const firstKept = this.#connectsMs.findIndex((atMs) => atMs > untilMs);
    if (firstKept !== 0) {
      this.#connectsMs.splice(0, firstKept === -1 ? this.#connectsMs.length : firstKept);
    }
    for (const [network, atMs] of this.#networksMs) {
      if (atMs > untilMs) return;
      this.#networksMs.delete(network);
    }
  }

  #forgetLostUntil(untilMs: number): void {
    const firstKept = this.#lost.findIndex(({ atMs }) => atMs > untilMs);
    if (firstKept === 0) return;
    for (const { network } of this.#lost.splice(0, firstKept === -1 ? this.#lost.length : firstKept)) {
      const left = (this.#lostByNetwork.get(network) ?? 0) - 1;
      if (left > 0) this.#lostByNetwork.set(network, left);
      else this.#lostByNetwork.delete(network);
    }
  }

  #clear(): void {
    this.#connectsMs.length = 0;
    this.#networksMs.clear();
    this.#lost.length = 0;
    this.#lostByNetwork.clear();
  }
}

type Ejectable = Pick<Backend, "isListed" | "isReady" | "isEjected">;

/**
 * Whether the pool can spare this backend: never more than half of those listed are ejected at once, and
 * never the last one that may be given work. One that gets no work anyway is not worth an ejection.
 */
export function mayEject(backend: Ejectable, pool: Iterable<Ejectable>): boolean {
  if (!backend.isReady) return false;
  let listed = 0;
  let ejected = 0;
  let ready = 0;
  for (const { isListed, isEjected, isReady } of pool) {
    if (!isListed) continue;
    listed += 1;
    if (isEjected) ejected += 1;
    if (isReady) ready += 1;
  }
  return (ejected + 1) * 2 <= listed && ready > 1;
}
