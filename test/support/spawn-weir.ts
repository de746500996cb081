// Runs Weir's command line as a child process of its own, on the Node that runs the tests, and collects
// what it prints; killed after the test if it still runs.
import { type ChildProcess, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { parse } from "yaml";

import { onCleanup, temporaryFolder } from "./cleanup.ts";
import { toWebSocketUrl } from "./start-weir.ts";
import { type WaitOptions, until, within } from "./until.ts";

/** Longer than others: a process compiles its sources first. */
const processDeadlineMs = 25_000;

const mainFile = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

interface SpawnOptions {
  /** Further arguments. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What `ulimit -n` is to be for it; default: as it is here. */
  readonly openFiles?: number;
}

interface Exit {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface FinishedRun extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** A Weir that is a process of its own. */
export class SpawnedWeir {
  readonly process: ChildProcess;
  readonly #exited: Promise<Exit>;
  #stdout = "";
  #stderr = "";
  /** It has ended, and all that it printed is read. */
  #isClosed = false;

  constructor(child: ChildProcess) {
    this.process = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.#stdout += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    const { promise, resolve } = Promise.withResolvers<Exit>();
    this.#exited = promise;
    child.once("close", (code, signal) => {
      this.#isClosed = true;
      resolve({ code, signal });
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get hasExited(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** The listeners printed so far, as `http://127.0.0.1:PORT`. */
  get listeners(): string[] {
    return [...this.#stdout.matchAll(/listening on ((?:https?|unix):[^\s"]+)/g)].map(([, url]) => url ?? "");
  }

  /** The first listener for WebSocket clients. */
  get url(): string {
    return toWebSocketUrl(this.httpUrl);
  }

  /** The first listener for plain HTTP clients. */
  get httpUrl(): string {
    return this.listeners[0] ?? "";
  }

  get adminUrl(): string {
    const url = /admin on (https?:[^\s"]+)/.exec(this.#stdout)?.[1];
    if (url === undefined) throw new Error(`no admin address was printed: ${this.#describe()}`);
    return url;
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }

  /** How it ended, once it has and all of its output is read. */
  exited({ deadlineMs = processDeadlineMs }: WaitOptions = {}): Promise<Exit> {
    return within(() => `the exit of Weir: ${this.#describe()}`, this.#exited, { deadlineMs });
  }

  /** Resolves when as many listeners are printed; rejects when Weir ends before. */
  async untilListening(listeners: number): Promise<void> {
    await this.#untilRunning(`${listeners} listeners`, () => this.listeners.length >= listeners);
  }

  /** The first match on standard output; rejects when Weir ends before. */
  async untilPrinted(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#untilRunning(String(pattern), () => pattern.exec(this.#stdout));
  }

  async #untilRunning<T>(what: string, probe: () => T | null | false): Promise<T> {
    const look = () => {
      const found = probe();
      return found === null || found === false ? this.#isClosed && { found: null } : { found };
    };
    const options = { deadlineMs: processDeadlineMs };
    const outcome = await until(what, look, options).catch((error: unknown) => {
      throw new Error(`${String(error)}; ${this.#describe()}`, { cause: error });
    });
    if (outcome.found === null) throw new Error(`Weir ended before ${what}: ${this.#describe()}`);
    return outcome.found;
  }

  #describe(): string {
    return `stdout:\n${this.#stdout}\nstderr:\n${this.#stderr}`;
  }
}

/** Starts `weir run -c FILE ARGS` with this YAML and waits until each of its listeners is printed. */
export async function spawnWeir(yaml: string, options: SpawnOptions = {}): Promise<SpawnedWeir> {
  const { args = [], env, openFiles } = options;
  const weir = spawnMain(["run", "-c", await writeConfig(yaml), ...args], env, openFiles);
  await weir.untilListening(countListeners(yaml));
  return weir;
}

/** Starts any command line and waits for nothing. */
export function spawnMain(
  args: readonly string[],
  env: SpawnOptions["env"] = {},
  openFiles: number | null = null,
): SpawnedWeir {
  const command = [process.execPath, mainFile, ...args];
  const limited = ["sh", "-c", `ulimit -n ${openFiles} && exec "$0" "$@"`, ...command];
  const [program = "", ...rest] = openFiles === null ? command : limited;
  const child = spawn(program, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const weir = new SpawnedWeir(child);
  onCleanup(`the Weir with pid ${child.pid}`, async () => {
    if (!weir.hasExited) child.kill("SIGKILL");
    await weir.exited();
  });
  return weir;
}

/** Runs a command line to its end, e.g. `runWeir(["check", "--config", file])`. */
export async function runWeir(args: readonly string[], options: SpawnOptions = {}): Promise<FinishedRun> {
  const run = spawnMain([...args, ...(options.args ?? [])], options.env);
  const exit = await run.exited();
  return { ...exit, stdout: run.stdout, stderr: run.stderr };
}

/** A configuration file with this text, removed after the test. */
export async function writeConfig(yaml: string, name = "weir.yaml"): Promise<string> {
  const file = join(await temporaryFolder(), name);
  await writeFile(file, yaml);
  return file;
}

function countListeners(yaml: string): number {
  const document: unknown = parse(yaml);
  const isObject = typeof document === "object" && document !== null;
  return isObject && "listeners" in document && Array.isArray(document.listeners)
    ? document.listeners.length
    : 1;
}
