// One start of one peer, between a load generator and a backend that are started with it.

import { setTimeout as sleep } from "node:timers/promises";
import type { LoadCommand, LoadReport } from "../load/commands.ts";
import type { Peer } from "../peers/peer.ts";
import { Commanded } from "./commanded.ts";
import type { Leash } from "./leash.ts";
import type { ProcessUse } from "./proc.ts";
import { RunningPeer } from "./running-peer.ts";

const BACKEND = new URL("../load/backend.ts", import.meta.url);
const GENERATOR = new URL("../load/generator.ts", import.meta.url);

const SAMPLING_MS = 20;
/** A slow peer on a busy machine may need more than the shortest window for its first message. */
const LONGEST_WINDOW_MS = 20_000;

export interface Window {
  readonly cpuNs: number;
  readonly report: LoadReport;
}

export class Session {
  readonly #load: Commanded<LoadCommand, LoadReport>;
  readonly #peer: RunningPeer;
  readonly #stopBackend: () => void;

  static async start(peer: Peer, leash: Leash): Promise<Session> {
    const backend = new Commanded<never, never>(BACKEND);
    try {
      const running = await RunningPeer.start(peer, await backend.port(), leash);
      return new Session(running, () => backend.kill());
    } catch (error) {
      backend.kill();
      throw error;
    }
  }

  private constructor(peer: RunningPeer, stopBackend: () => void) {
    this.#peer = peer;
    this.#stopBackend = stopBackend;
    this.#load = new Commanded(GENERATOR, [`${peer.port}`]);
  }

  get port(): number {
    return this.#peer.port;
  }

  get adminPort(): number {
    return this.#peer.adminPort;
  }

  use(): ProcessUse {
    return this.#peer.use();
  }

  /** Throws when anything failed meanwhile. */
  async command(command: LoadCommand): Promise<LoadReport> {
    return checked(await this.#load.command(command));
  }

  /** Does something while a command that has no end runs, then stops that. */
  async during<T>(endless: LoadCommand, action: () => Promise<T>): Promise<T> {
    const ended = this.command(endless);
    // When the action fails, the session is stopped, and how this ends is of no interest.
    ended.catch(() => {});
    const result = await action();
    await this.command({ kind: "stop" });
    await ended;
    return result;
  }

  /** What the proxy used, and what came back, while a load ran for so long. Nothing of the warm-up counts. */
  async window(warmUpMs: number, durationMs: number): Promise<Window> {
    await sleep(warmUpMs);
    await this.command({ kind: "mark" });
    const before = this.use().cpuNs;
    await this.#untilSomethingCame(durationMs);
    const report = await this.command({ kind: "mark" });
    return { cpuNs: this.use().cpuNs - before, report };
  }

  /** The most that the proxy's resident memory reaches until the command is done. */
  async peakResidentBytes(command: LoadCommand): Promise<number> {
    let peak = this.use().residentBytes;
    const sampling = setInterval(() => (peak = Math.max(peak, this.use().residentBytes)), SAMPLING_MS);
    try {
      await this.command(command);
    } finally {
      clearInterval(sampling);
    }
    return peak;
  }

  async #untilSomethingCame(durationMs: number): Promise<void> {
    for (let waitedMs = 0; waitedMs < LONGEST_WINDOW_MS; waitedMs += durationMs) {
      await sleep(durationMs);
      const { messages, upgrades } = await this.command({ kind: "look" });
      if (messages + upgrades > 0) return;
    }
  }

  async stop(): Promise<void> {
    this.#load.kill();
    this.#stopBackend();
    await this.#peer.stop();
  }
}

function checked(report: LoadReport): LoadReport {
  if (report.failures === 0) return report;
  throw new Error(`${report.failures} connections failed: ${report.firstFailure}`);
}
