// What outlives the process, between its live form and a state file's records: affinity, bans, and what an
// operator has set of backends. Live times are the shared clock's, those of records the wall clock's.

import type { Ban, Bans } from "./bans.ts";
import type { Fleet } from "./fleet.ts";
import { inRecords, type StateRecord } from "./state-format.ts";

type BanEntry = Extract<StateRecord, { kind: "bans" }>["bans"][number];
type AffinityEntries = Extract<StateRecord, { kind: "affinity" }>["entries"];

interface LiveStateOptions {
  readonly fleet: Pick<Fleet, "pools" | "handSettings" | "restore">;
  readonly bans: Bans;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

/** How many of each were restored. */
interface Restored {
  readonly backends: number;
  readonly bans: number;
  readonly affinity: number;
}

export class LiveState {
  readonly #options: LiveStateOptions;

  constructor(options: LiveStateOptions) {
    this.#options = options;
  }

  /** Made as they are asked for: the state may change in between. */
  *records(): Generator<StateRecord> {
    const { fleet, bans } = this.#options;
    for (const settings of fleet.handSettings()) yield { kind: "backend", ...settings };
    for (const batch of inRecords(bans.entries())) {
      const offsetMs = this.#wallOffsetMs();
      yield { kind: "bans", bans: batch.map(([user, ban]) => banEntry(user, ban, offsetMs)) };
    }
    for (const pool of fleet.pools.all) {
      for (const batch of inRecords(pool.affinity.entries())) {
        const nowMs = this.#options.now();
        const offsetMs = this.#wallOffsetMs();
        const entries: AffinityEntries = batch.map(({ user, backend, idleSinceMs }) => [
          user,
          backend,
          Math.round((idleSinceMs ?? nowMs) + offsetMs),
        ]);
        yield { kind: "affinity", pool: pool.name, entries };
      }
    }
  }

  /** Puts back what still counts: not bans that are over, nor pools that are gone. */
  restore(records: readonly StateRecord[]): Restored {
    const affinity = new Map<string, AffinityEntries>();
    let bans = 0;
    const backends: Extract<StateRecord, { kind: "backend" }>[] = [];
    for (const record of records) {
      if (record.kind === "backend") backends.push(record);
      else if (record.kind === "bans") bans += this.#restoreBans(record.bans);
      else append(affinity, record);
    }
    this.#options.fleet.restore(backends);
    let users = 0;
    for (const [pool, entries] of affinity) users += this.#restoreAffinity(pool, entries);
    return { backends: backends.length, bans, affinity: users };
  }

  #restoreBans(bans: readonly BanEntry[]): number {
    const offsetMs = this.#wallOffsetMs();
    const nowMs = this.#options.now();
    let count = 0;
    for (const [user, untilMs, reason] of bans) {
      if (untilMs - offsetMs <= nowMs) continue;
      const by = reason === undefined ? "abuse" : "admin";
      this.#options.bans.ban(user, untilMs - offsetMs, { by, reason: reason ?? null });
      count += 1;
    }
    return count;
  }

  #restoreAffinity(poolName: string, entries: AffinityEntries): number {
    const pool = this.#options.fleet.pools.find(poolName);
    if (pool === undefined || pool.config.affinity.by !== "user") return 0;
    const offsetMs = this.#wallOffsetMs();
    const nowMs = this.#options.now();
    // The table keeps the idle in the order of their last use.
    entries.sort((a, b) => a[2] - b[2]);
    // One string for all users of a backend.
    const names = new Map<string, string>();
    for (const [user, backend, idleSinceMs] of entries) {
      const name = names.get(backend) ?? backend;
      names.set(backend, name);
      // A wall clock that was set back must not make anyone idle in the future.
      pool.affinity.touch(user, name, Math.min(idleSinceMs - offsetMs, nowMs));
    }
    return entries.length;
  }

  /** What is added to a time of the shared clock to make it one of the wall clock. */
  #wallOffsetMs(): number {
    return Date.now() - this.#options.now();
  }
}

function banEntry(user: string, { untilMs, by, reason }: Ban, offsetMs: number): BanEntry {
  const until = Math.round(untilMs + offsetMs);
  return by === "abuse" ? [user, until] : [user, until, reason];
}

function append(
  all: Map<string, AffinityEntries>,
  { pool, entries }: { pool: string; entries: AffinityEntries },
) {
  const known = all.get(pool);
  if (known === undefined) all.set(pool, entries);
  else for (const entry of entries) known.push(entry);
}
