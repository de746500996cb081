// The backends that this thread may dial, kept across reloads: a grant finds its backend whichever
// version of the configuration it was made under.

import { readFileSync } from "node:fs";
import { SecureContexts, secureBackendsOf } from "../backend-tls.ts";
import type { Config } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";
import { type ConfiguredBackend, DialTarget } from "./dial-target.ts";

/** Which of the data-plane threads this is. */
interface ThreadPlace {
  readonly index: number;
  readonly threads: number;
}

/** The first warm sockets of many backends are opened over this time. */
const MAX_WARM_SPREAD_MS = 1_000;

export class DialTargets {
  readonly #thread: ThreadPlace;
  readonly #secureContexts = new SecureContexts();
  #targets: ReadonlyMap<string, DialTarget> = new Map();
  /**
   * What the last two reloads took away. Threads have the new configuration before the control plane
   * stops to grant by the old one, and the last such grant may come in one batch with the next reload.
   */
  #removed: readonly [ReadonlyMap<string, DialTarget>, ReadonlyMap<string, DialTarget>] = [
    new Map(),
    new Map(),
  ];
  #isDraining = false;

  constructor(thread: ThreadPlace = { index: 0, threads: 1 }) {
    this.#thread = thread;
  }

  /** Takes a new list over. Throws where a file that it names cannot be read or used, and changes nothing then. */
  configure(pools: Config["pools"], readFile: ReadFile = readFileSync): void {
    const configured = this.#read(pools, readFile);
    const targets = new Map<string, DialTarget>();
    for (const [key, backend] of configured) {
      const known = this.#targets.get(key);
      const target = known?.isLike(backend) === true ? known : new DialTarget(backend);
      target.configure(backend);
      targets.set(key, target);
    }
    const removed = new Map([...this.#targets].filter(([key, target]) => targets.get(key) !== target));
    for (const target of removed.values()) target.retire();
    this.#targets = targets;
    this.#removed = [removed, this.#removed[0]];
    this.#keepWarm();
  }

  /** Undefined for a backend that is gone for longer than a grant can be on its way. */
  find(pool: string, backend: string): DialTarget | undefined {
    const key = keyOf(pool, backend);
    return this.#targets.get(key) ?? this.#removed[0].get(key) ?? this.#removed[1].get(key);
  }

  /** No more upgrades will come: closes the sockets that wait for them. */
  startDraining(): void {
    this.#isDraining = true;
    this.#keepWarm();
  }

  #read(pools: Config["pools"], readFile: ReadFile): [key: string, backend: ConfiguredBackend][] {
    const all = Object.entries(pools).flatMap(([name, pool]) =>
      pool.backends.map((config) => ({ key: keyOf(name, config.id), config, pool })),
    );
    const contexts = this.#secureContexts.load(secureBackendsOf(pools), readFile);
    return all.map(({ key, config, pool }) => {
      const context = contexts.get(config) ?? null;
      if (context instanceof Error) throw context;
      return [key, { config, pool, secureContext: context }];
    });
  }

  #keepWarm(): void {
    const spreadMs = Math.min(this.#targets.size, MAX_WARM_SPREAD_MS);
    for (const [key, target] of this.#targets) {
      const sockets = this.#isDraining ? 0 : shareOf(target.pool.warmConnections, this.#thread, key);
      target.keepWarm(sockets, Math.random() * spreadMs);
    }
  }
}

/** A thread's part of a backend's warm sockets. What does not divide falls to other threads with other backends. */
function shareOf(sockets: number, { index, threads }: ThreadPlace, key: string): number {
  const rest = sockets % threads;
  if (rest === 0) return sockets / threads;
  let first = 0;
  for (let i = 0; i < key.length; i++) first += key.charCodeAt(i);
  return Math.floor(sockets / threads) + ((index + first) % threads < rest ? 1 : 0);
}

function keyOf(pool: string, backend: string): string {
  return `${pool}\n${backend}`;
}
