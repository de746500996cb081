// The live state of one backend: what counts against its capacity, and whether it may be given work.
// Keyed by pool and id, it outlives the configuration, so that a reload loses no count.

import { createHash } from "node:crypto";
import type { BackendConfig } from "../config/schema.ts";
import type { FailureKind } from "../shared-memory/channel.ts";

/** What an operator has set: `draining` gives it no new work, `down` ends its connections as well. */
export type OperatorState = "active" | "draining" | "down";

/** Why a backend gets no work. */
export type Obstacle = "removed" | "draining" | "down" | "unhealthy" | "ejected" | "full";

/** A backend as the configuration and the resolution of its name give it. */
export interface BackendSpec {
  /** Unique in the pool. */
  readonly id: string;
  readonly config: BackendConfig;
  /** IP addresses of its name, in the order to try; null where they are not known or not needed. */
  readonly addresses: readonly string[] | null;
}

/** Bytes of a backend's digest that its cookie shows. */
const COOKIE_BYTES = 12;

/** Share of its weight that a backend starts slowly with. */
const SLOW_START_FLOOR = 0.1;

/** What a new round trip counts against all before it. */
const NEW_SHARE = 0.1;

export class Backend {
  readonly pool: string;
  readonly id: string;
  /** Value of the affinity cookie that leads here: says nothing to its reader, and is the same after a restart. */
  readonly cookie: string;
  /** 32 bits of its own for `consistent-hash`: the same in every process that knows it by this pool and id. */
  readonly hashSeed: number;
  spec: BackendSpec;
  /** Connections that hold a slot here: being dialled or open. */
  connections = 0;
  /** False once the configuration no longer names it: it keeps its connections, and gets no more. */
  isListed = true;
  operatorState: OperatorState = "active";
  /** Set by hand, in place of the configured one. */
  weightSet: number | null = null;
  capacitySet: number | null = null;
  /** What the active checks say; up until the first of them. */
  isUp = true;
  isEjected = false;
  /** What real traffic has seen of it so far. */
  readonly failures: Record<FailureKind, number> = {
    connect: 0,
    timeout: 0,
    malformed: 0,
    status: 0,
    lost: 0,
  };
  /** Of Weir's pings to it, the late ones counting most; null before the first answer. */
  roundTripMs: number | null = null;
  /** What round-robin owes it, in turns; negative where it has had more than its share. */
  turnsOwed = 0;
  /** When it came back, while it starts slowly; milliseconds on the shared clock. */
  slowSinceMs: number | null = null;

  constructor(pool: string, spec: BackendSpec) {
    this.pool = pool;
    this.id = spec.id;
    this.spec = spec;
    const digest = createHash("sha256").update(`${pool}\n${spec.id}`).digest();
    this.cookie = digest.toString("base64url", 0, COOKIE_BYTES);
    this.hashSeed = digest.readInt32LE(COOKIE_BYTES);
  }

  get config(): BackendConfig {
    return this.spec.config;
  }

  get weight(): number {
    return this.weightSet ?? this.config.weight;
  }

  /** Connections at most. */
  get capacity(): number {
    return this.capacitySet ?? this.config.capacity ?? Number.POSITIVE_INFINITY;
  }

  get hasRoom(): boolean {
    return this.connections < this.capacity;
  }

  /** Both axes, the operator's and the observed, and the list say that it may be given work. */
  get isReady(): boolean {
    return this.obstacle === null;
  }

  /** The first thing that keeps work from it, its capacity aside; null where nothing does. */
  get obstacle(): Exclude<Obstacle, "full"> | null {
    if (!this.isListed) return "removed";
    if (this.operatorState !== "active") return this.operatorState;
    if (!this.isUp) return "unhealthy";
    return this.isEjected ? "ejected" : null;
  }

  noteRoundTrips(roundTripsMs: readonly number[]): void {
    for (const ms of roundTripsMs) {
      this.roundTripMs =
        this.roundTripMs === null ? ms : this.roundTripMs + (ms - this.roundTripMs) * NEW_SHARE;
    }
  }

  /** Its weight at this moment; lower while it starts slowly. Ends the slow start once that is over. */
  effectiveWeight(nowMs: number, slowStartMs: number | null): number {
    if (this.slowSinceMs === null) return this.weight;
    const share = slowStartMs === null ? 1 : (nowMs - this.slowSinceMs) / slowStartMs;
    if (share >= 1) {
      this.slowSinceMs = null;
      return this.weight;
    }
    return this.weight * Math.max(SLOW_START_FLOOR, share);
  }
}
