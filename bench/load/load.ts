// Owns the generator's connections, and counts what comes back on them. Commands come one at a time,
// but for `look`, `mark` and `stop`, which may come while a cycle runs.

import { ClientConnection, type ClientEvents, createFlow, type Flow } from "./client-connection.ts";
import type { LoadCommand, LoadReport } from "./commands.ts";
import { Histogram } from "./histogram.ts";
import { sendHuge } from "./huge.ts";

/** So that no accept queue overflows. */
const OPENING_AT_ONCE = 64;
/** After so many failures nothing more is begun. */
const MOST_FAILURES = 100;
const USER_MESSAGE_BYTES = 64;
/** A message that is under way for longer is lost, however busy the machine is. */
const STALLED_MS = 2_000;

type Cycle = Extract<LoadCommand, { kind: "cycle" }>;

export class Load {
  readonly #port: number;
  readonly #connections = new Set<ClientConnection>();
  readonly #latencies = new Histogram();
  #markedAtMs = performance.now();
  #messages = 0;
  #upgrades = 0;
  #failures = 0;
  #refusals = 0;
  #firstFailure = "";
  #isStopping = false;
  /** Called when a connection had its message back, or went; set by the command that waits for all. */
  #onMessage: (() => void) | null = null;
  /** Called when the last connection has gone; set by `stop`. */
  #onEmpty: (() => void) | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  async execute(command: LoadCommand): Promise<LoadReport> {
    switch (command.kind) {
      case "open":
        await this.#open(command.connections);
        break;
      case "ping":
        await this.#ping(createFlow(command.messageBytes, 1));
        break;
      case "flow":
        this.#startFlow(createFlow(command.messageBytes, command.inFlight));
        break;
      case "cycle":
        await this.#cycle(command);
        break;
      case "huge":
        await sendHuge(this.#port, command.bytes, command.slowReader);
        this.#messages++;
        break;
      case "stop":
        await this.#stop();
        break;
      case "look":
      case "mark":
        break;
    }
    const report = this.#report();
    if (command.kind === "mark") this.#reset();
    return report;
  }

  #open(connections: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let begun = 0;
    let opening = 0;
    const begin = (): void => {
      while (opening < OPENING_AT_ONCE && begun < connections && this.#failures < MOST_FAILURES) {
        begun++;
        opening++;
        this.#connections.add(new ClientConnection(this.#port, events));
      }
      if (opening === 0) resolve();
    };
    const opened = new Set<ClientConnection>();
    const events: ClientEvents = {
      onOpen: (connection) => {
        opened.add(connection);
        this.#upgrades++;
        opening--;
        begin();
      },
      onMessages: (connection, count) => {
        this.#messages += count;
        this.#recordSince(connection.startedAtMs);
        this.#onMessage?.();
      },
      onGone: (connection, failure) => {
        this.#forget(connection, failure);
        if (opened.delete(connection)) {
          this.#onMessage?.();
          return;
        }
        opening--;
        begin();
      },
    };
    begin();
    return promise;
  }

  async #ping(flow: Flow): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let awaited = this.#connections.size;
    if (awaited === 0) return;
    this.#onMessage = () => {
      if (--awaited === 0) resolve();
    };
    for (const connection of this.#connections) connection.ping(flow);
    await promise;
    this.#onMessage = null;
  }

  #startFlow(flow: Flow): void {
    for (const connection of this.#connections) connection.start(flow);
  }

  #cycle({ parallel, total, firstUser }: Cycle): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const flow = firstUser === undefined ? null : createFlow(USER_MESSAGE_BYTES, 1);
    let begun = 0;
    let open = 0;
    const begin = (): void => {
      while (open < parallel && begun < total && !this.#isStopping && this.#failures < MOST_FAILURES) {
        const visit = firstUser === undefined ? {} : { user: `user-${firstUser + begun}` };
        begun++;
        open++;
        this.#connections.add(new ClientConnection(this.#port, events, visit));
      }
      if (open === 0) resolve();
    };
    const events: ClientEvents = {
      onOpen: (connection) => {
        this.#recordSince(connection.startedAtMs);
        if (flow === null) connection.close();
        else connection.ping(flow);
      },
      onMessages: (connection, count) => {
        this.#messages += count;
        connection.close();
      },
      onGone: (connection, failure) => {
        if (failure === null) this.#upgrades++;
        this.#forget(connection, failure);
        open--;
        begin();
      },
    };
    begin();
    return promise;
  }

  async #stop(): Promise<void> {
    if (this.#connections.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    this.#isStopping = true;
    for (const connection of this.#connections) connection.close();
    await promise;
    this.#onEmpty = null;
    this.#isStopping = false;
  }

  #forget(connection: ClientConnection, failure: string | null): void {
    this.#connections.delete(connection);
    if (failure !== null) {
      this.#failures++;
      if (!connection.hasOpened) this.#refusals++;
      this.#firstFailure ||= failure;
    }
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #recordSince(startedAtMs: number): void {
    this.#latencies.record((performance.now() - startedAtMs) * 1000);
  }

  #report(): LoadReport {
    return {
      elapsedMs: performance.now() - this.#markedAtMs,
      messages: this.#messages,
      upgrades: this.#upgrades,
      failures: this.#failures,
      refusals: this.#refusals,
      firstFailure: this.#firstFailure,
      stalled: this.#countStalled(),
      p50Us: this.#latencies.percentile(0.5),
      p99Us: this.#latencies.percentile(0.99),
      maxUs: this.#latencies.percentile(1),
      openConnections: this.#connections.size,
    };
  }

  #countStalled(): number {
    const nowMs = performance.now();
    let stalled = 0;
    for (const { isFlowing, startedAtMs } of this.#connections) {
      if (isFlowing && nowMs - startedAtMs > STALLED_MS) stalled++;
    }
    return stalled;
  }

  #reset(): void {
    this.#markedAtMs = performance.now();
    this.#messages = 0;
    this.#upgrades = 0;
    this.#failures = 0;
    this.#refusals = 0;
    this.#firstFailure = "";
    this.#latencies.clear();
  }
}
