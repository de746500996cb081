// The other side of a takeover: a Weir that the test makes up, old or new, and what is set up for both.
import { once } from "node:events";
import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";

import { expect } from "vitest";

import { onCleanup, temporaryFolder } from "./cleanup.ts";
import { startEchoBackend } from "./echo-backend.ts";
import { ask } from "./http-client.ts";
import { openRaw } from "./raw-client.ts";
import { type SpawnedWeir, spawnMain, writeConfig } from "./spawn-weir.ts";
import { until, untilEqual, within } from "./until.ts";
import { type WsClient, openClient } from "./ws-client.ts";

/** Line by line over the socket beside `pidFile`. */
export class TakeoverTalk {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: Socket) {
    this.#socket = socket;
    const reader = createInterface({ input: socket });
    this.#lines = reader[Symbol.asyncIterator]();
    socket.on("error", () => {});
    socket.on("close", () => reader.close());
    onCleanup("a takeover's conversation", () => void socket.destroy());
  }

  say(line: unknown): void {
    this.#socket.write(`${typeof line === "string" ? line : JSON.stringify(line)}\n`);
  }

  /** The next line; undefined at the end. */
  async hear(): Promise<string | undefined> {
    const { done, value } = await within("a line of a takeover", this.#lines.next());
    return done === true ? undefined : value;
  }

  async hearJson(): Promise<unknown> {
    return JSON.parse((await this.hear()) ?? "null");
  }

  /** Reads nothing any more. */
  pause(): void {
    this.#socket.pause();
  }

  leave(): void {
    this.#socket.destroy();
  }
}

/** Talks to a running Weir as a newer one would. */
export async function talkTo(pidFile: string): Promise<TakeoverTalk> {
  const socket = connect({ path: `${pidFile}.sock` });
  await within("the socket beside pidFile", once(socket, "connect"));
  return new TakeoverTalk(socket);
}

interface PlayedWeir {
  readonly talk: Promise<TakeoverTalk>;
  /** Nobody answers any more. */
  readonly end: () => Promise<void>;
}

/** Plays a running Weir with this process's pid, which serves nothing; resolves to talk with who takes over. */
export async function playOldWeir(pidFile: string): Promise<PlayedWeir> {
  const { promise: talk, resolve } = Promise.withResolvers<TakeoverTalk>();
  const server = createServer((socket) => resolve(new TakeoverTalk(socket)));
  server.listen({ path: `${pidFile}.sock` });
  await once(server, "listening");
  onCleanup("a made-up old Weir", () => void server.close());
  await chmod(`${pidFile}.sock`, 0o600);
  await writeFile(pidFile, `${process.pid}\n`);
  const end = async (): Promise<void> => {
    server.close();
    await rm(`${pidFile}.sock`, { force: true });
  };
  return { talk, end };
}

type SpawnEnv = Readonly<Record<string, string>>;

export interface TakeoverSetup {
  readonly folder: string;
  readonly pidFile: string;
  /** Starts a Weir in front of the backends `a` and `b`. */
  readonly start: (config?: object) => Promise<SpawnedWeir>;
  /** Starts one beside it, to take its addresses unless `config` names others. */
  readonly takeOver: (from: SpawnedWeir, config?: object) => Promise<SpawnedWeir>;
  /** The same, without waiting until it serves. */
  readonly spawn: (config: object, args?: readonly string[], env?: SpawnEnv) => Promise<SpawnedWeir>;
}

export async function setUpTakeover(common: object = {}): Promise<TakeoverSetup> {
  const folder = await temporaryFolder();
  const pidFile = join(folder, "weir.pid");
  const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  const base = {
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    timeouts: { ping: "off", close: "60s" },
    shutdown: { spread: "0s", timeout: "2m" },
    identity: { user: [{ header: "x-user-id" }] },
    pools: {
      chat: {
        healthCheck: "off",
        balance: "round-robin",
        backends: backends.map(({ id, url }) => ({ id, url })),
      },
    },
    pidFile,
    ...common,
  };
  const spawn: TakeoverSetup["spawn"] = async (config, args = [], env = {}) =>
    spawnMain(["run", "-c", await writeConfig(JSON.stringify({ ...base, ...config })), ...args], env);
  const start = async (config: object = {}): Promise<SpawnedWeir> => {
    const weir = await spawn(config);
    await weir.untilListening(1);
    return weir;
  };
  const takeOver = async (from: SpawnedWeir, config: object = {}): Promise<SpawnedWeir> => {
    const addresses = "listeners" in config ? {} : addressesOf(from);
    const weir = await spawn({ ...addresses, ...config }, ["--takeover"]);
    await weir.untilListening(1);
    return weir;
  };
  return { folder, pidFile, start, takeOver, spawn };
}

/** The addresses of a running Weir, as a configuration has them. */
export function addressesOf(weir: SpawnedWeir): object {
  return {
    listeners: weir.listeners.map((url) => new URL(url).host),
    admin: { bind: new URL(weir.adminUrl).host },
  };
}

export function openAs(weir: SpawnedWeir, user: string): Promise<WsClient> {
  return openClient(weir.url, { headers: { "x-user-id": user } });
}

/**
 * Asserts that a process whose place was not taken has its addresses, its pidFile and its connections, and that
 * another can still take over.
 */
export async function expectUntouched(
  setup: TakeoverSetup,
  old: SpawnedWeir,
  before: WsClient,
): Promise<void> {
  expect(await before.ask("still here")).toBe("still here");
  await until("the admin server answers", async () => (await ask(`${old.adminUrl}/readyz`)).status === 200);
  await untilEqual("the pid in pidFile", old.process.pid, () => pidIn(setup.pidFile));
  await openAs(old, "bob");
  expect(old.hasExited).toBe(false);
  const young = await setup.takeOver(old);
  expect(await old.exited()).toEqual({ code: 0, signal: null });
  expect(await pidIn(setup.pidFile)).toBe(young.process.pid);
}

export async function pidIn(file: string): Promise<number> {
  return Number(await readFile(file, "utf8"));
}

/** Clients that connect, are served, and leave, again and again, until they are told to stop. */
export class ConnectStream {
  readonly failures: string[] = [];
  opened = 0;
  readonly #done: Promise<unknown>;
  #isOver = false;

  constructor(url: string, clients: number) {
    this.#done = Promise.all(Array.from({ length: clients }, () => this.#connect(url)));
    onCleanup("a stream of connects", () => this.stop());
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }

  async #connect(url: string): Promise<void> {
    while (!this.#isOver) {
      try {
        const { connection } = await openRaw(url);
        this.opened += 1;
        connection.socket.destroy();
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }
}
