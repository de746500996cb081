// Weir alone in front of several backends, under several load generators: for rows in which one of them
// dies or the list of backends changes.

import type { LoadCommand, LoadReport } from "../load/commands.ts";
import type { Peer } from "../peers/peer.ts";
import { Commanded } from "./commanded.ts";
import type { Leash } from "./leash.ts";
import { RunningPeer } from "./running-peer.ts";

const BACKEND = new URL("../load/backend.ts", import.meta.url);
const GENERATOR = new URL("../load/generator.ts", import.meta.url);

export type Generator = Commanded<LoadCommand, LoadReport>;

export interface RigOptions {
  readonly leash: Leash;
  readonly backends: number;
  /** Weir in front of backends on these ports. */
  readonly weirFor: (ports: readonly number[]) => Peer;
}

export class Rig {
  readonly weir: RunningPeer;
  readonly #backends: readonly Commanded<never, never>[];
  readonly #generators: Generator[] = [];

  static async start({ leash, backends: count, weirFor }: RigOptions): Promise<Rig> {
    const backends = Array.from({ length: count }, () => new Commanded<never, never>(BACKEND));
    try {
      const ports = await Promise.all(backends.map((backend) => backend.port()));
      return new Rig(await RunningPeer.start(weirFor(ports), ports[0] ?? 0, leash), backends);
    } catch (error) {
      for (const backend of backends) backend.kill();
      throw error;
    }
  }

  private constructor(weir: RunningPeer, backends: readonly Commanded<never, never>[]) {
    this.weir = weir;
    this.#backends = backends;
  }

  addGenerator(): Generator {
    const generator: Generator = new Commanded(GENERATOR, [`${this.weir.port}`]);
    this.#generators.push(generator);
    return generator;
  }

  /** SIGKILL. */
  killBackend(index: number): void {
    this.#backends[index]?.kill();
  }

  /** An answer of Weir's admin API. Throws for one that is no 200. */
  async admin(method: "GET" | "POST", path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.weir.adminPort}${path}`, { method });
    if (response.status !== 200)
      throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return await response.json();
  }

  async stop(): Promise<void> {
    for (const process of [...this.#generators, ...this.#backends]) process.kill();
    await this.weir.stop();
  }
}
