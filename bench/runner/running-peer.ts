// A peer's process while it runs: started from its launch, measured by the operating system, killed
// with all of its children.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import type { Peer } from "../peers/peer.ts";
import type { Leash } from "./leash.ts";
import { mainThreadCpuNs, processTree, type ProcessUse, useOf } from "./proc.ts";
import { killGroup } from "./process-group.ts";

const START_DEADLINE_MS = 15_000;
const POLL_MS = 20;
/** Of what the peer prints, for the message when it fails; a report of what Weir holds is shorter. */
const KEPT_CHARACTERS = 4_000;

export class RunningPeer {
  readonly port: number;
  /** Of a peer that has an admin address. */
  readonly adminPort: number;
  readonly #leash: Leash;
  readonly #directory: string;
  readonly #child: ChildProcess;
  #output = "";
  #pids: readonly number[] = [];

  /** Resolves when it upgrades a connection. */
  static async start(peer: Peer, backendPort: number, leash: Leash): Promise<RunningPeer> {
    return await RunningPeer.#launch(peer, backendPort, leash, await freePorts());
  }

  /** On the same ports as another that runs, whose place it is to take. */
  static async startInPlaceOf(other: RunningPeer, peer: Peer, backendPort: number): Promise<RunningPeer> {
    return await RunningPeer.#launch(peer, backendPort, other.#leash, [other.port, other.adminPort]);
  }

  static async #launch(
    peer: Peer,
    backendPort: number,
    leash: Leash,
    ports: readonly [number, number],
  ): Promise<RunningPeer> {
    const running = new RunningPeer(peer, backendPort, leash, ports);
    try {
      await running.#untilReady();
    } catch (error) {
      await running.stop();
      throw error;
    }
    return running;
  }

  private constructor(peer: Peer, backendPort: number, leash: Leash, ports: readonly [number, number]) {
    const [port, adminPort] = ports;
    this.port = port;
    this.adminPort = adminPort;
    this.#leash = leash;
    this.#directory = mkdtempSync(join(leash.directory, `${peer.name}-`));
    const launch = peer.launch({ port, adminPort, backendPort, directory: this.#directory });
    for (const [name, text] of Object.entries(launch.files ?? {})) {
      writeFileSync(join(this.#directory, name), text);
    }
    this.#child = spawn(launch.command, launch.args, {
      cwd: this.#directory,
      env: { ...process.env, ...launch.env },
      // A process group of its own, so that a master never leaves its workers behind.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    if (this.#child.pid !== undefined) leash.hold(this.#child.pid);
    this.#child.on("error", (error) => this.#keep(error.message));
    this.#child.stdout?.on("data", (chunk: Buffer) => this.#keep(chunk.toString()));
    this.#child.stderr?.on("data", (chunk: Buffer) => this.#keep(chunk.toString()));
  }

  /** The last of what it has printed. */
  get output(): string {
    return this.#output;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  use(): ProcessUse {
    return useOf(this.#pids);
  }

  mainThreadCpuNs(): number {
    return mainThreadCpuNs(this.#child.pid ?? 0);
  }

  /** Sends it a signal, and resolves with its exit code; null where a signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.#hasExited()) this.#child.kill(signal);
    return await this.exited();
  }

  async exited(): Promise<number | null> {
    if (!this.#hasExited()) await once(this.#child, "exit");
    return this.#child.exitCode;
  }

  async stop(): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined) {
      const exited = this.#hasExited() ? null : once(this.#child, "exit");
      killGroup(pid);
      await exited;
      this.#leash.release(pid);
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #untilReady(): Promise<void> {
    const deadlineMs = performance.now() + START_DEADLINE_MS;
    while (!(await upgrades(this.port))) {
      if (this.#hasExited()) throw new Error(`ended at its start: ${this.#output.trim()}`);
      if (performance.now() > deadlineMs) throw new Error(`accepts no connection: ${this.#output.trim()}`);
      await sleep(POLL_MS);
    }
    const { pid } = this.#child;
    if (pid !== undefined) this.#pids = processTree(pid);
  }

  #hasExited(): boolean {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #keep(text: string): void {
    this.#output = (this.#output + text).slice(-KEPT_CHARACTERS);
  }
}

async function upgrades(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { handshakeTimeout: 1000 });
  socket.on("open", () => socket.close());
  socket.on("error", () => resolve(false));
  socket.on("close", (code) => resolve(code !== 1006));
  return promise;
}

/** Two that were free a moment ago. */
async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()] as const;
  const [first, second] = await Promise.all([freePort(servers[0]), freePort(servers[1])]);
  return [first, second];
}

async function freePort(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
