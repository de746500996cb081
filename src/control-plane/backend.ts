// The live state of one backend: what counts against its capacity, and whether it may be given work.
// Keyed by pool and id, it outlives the configuration, so that a reload loses no count.

import type { BackendConfig } from "../config/schema.ts";

export class Backend {
  readonly pool: string;
  readonly id: string;
  config: BackendConfig;
  /** Connections that hold a slot here: being dialled or open. */
  connections = 0;
  /** False once the configuration no longer names it: it keeps its connections, and gets no more. */
  isListed = true;

  constructor(pool: string, config: BackendConfig) {
    this.pool = pool;
    this.id = config.id;
    this.config = config;
  }

  get hasRoom(): boolean {
    return this.config.capacity === null || this.connections < this.config.capacity;
  }
}
