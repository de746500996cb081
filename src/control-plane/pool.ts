// A named group of backends: keeps their live state across reloads and picks one for new work.

import type { PoolConfig } from "../config/schema.ts";
import { Backend } from "./backend.ts";
import { selectLeastConnections } from "./select.ts";

/** Why a pool has no backend to give. */
export type PickFailure = "backends_full" | "no_backend";

export class Pool {
  readonly name: string;
  config: PoolConfig;
  readonly #backends = new Map<string, Backend>();

  constructor(name: string, config: PoolConfig) {
    this.name = name;
    this.config = config;
    this.configure(config);
  }

  get backends(): Iterable<Backend> {
    return this.#backends.values();
  }

  get isEmpty(): boolean {
    return this.#backends.size === 0;
  }

  /** Takes over a new list: known ids keep their counts, those missing are only forgotten when empty. */
  configure(config: PoolConfig | null): void {
    if (config !== null) this.config = config;
    const listed = new Map((config?.backends ?? []).map((backend) => [backend.id, backend]));
    for (const backend of this.#backends.values()) {
      backend.isListed = listed.has(backend.id);
      this.#forgetIfGone(backend);
    }
    for (const [id, backendConfig] of listed) {
      const known = this.#backends.get(id);
      if (known === undefined) this.#backends.set(id, new Backend(this.name, backendConfig));
      else known.config = backendConfig;
    }
  }

  /**
   * Chooses a backend that is listed, not in `tried`, and has room.
   * A pool in which backends exist but are all at capacity is `backends_full`.
   */
  pick(tried: ReadonlySet<string>): Backend | PickFailure {
    let isAnyFull = false;
    const candidates: Backend[] = [];
    for (const backend of this.#backends.values()) {
      if (!backend.isListed || tried.has(backend.id)) continue;
      if (backend.hasRoom) candidates.push(backend);
      else isAnyFull = true;
    }
    return selectLeastConnections(candidates) ?? (isAnyFull ? "backends_full" : "no_backend");
  }

  /** One for a plain request, which takes no slot: it is served by a backend at its capacity too. */
  pickForRequest(): Backend | PickFailure {
    const listed = [...this.#backends.values()].filter(({ isListed }) => isListed);
    return selectLeastConnections(listed) ?? "no_backend";
  }

  acquire(backend: Backend): void {
    backend.connections += 1;
  }

  release(backend: Backend): void {
    backend.connections -= 1;
    this.#forgetIfGone(backend);
  }

  #forgetIfGone(backend: Backend): void {
    if (!backend.isListed && backend.connections === 0) this.#backends.delete(backend.id);
  }
}
