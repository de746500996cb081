// The operator's part in how connections end: what is asked of Weir's admin API while clients are there.

import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Pools whose backends are taken away by hand, each for one client at a time. */
export const HAND_POOLS = Array.from({ length: 8 }, (_, i) => `hand-${i}`);

/** A thread tells the main one of a client that it has let in a moment later. */
const POLL_MS = 2;
const MAX_POLLS = 5_000;

export interface OpenConnection {
  readonly id: string;
  readonly backend: string;
}

export class EndsAdmin {
  readonly #port: number;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #freePools = [...HAND_POOLS];
  readonly #waiting: ((pool: string) => void)[] = [];

  constructor(port: number) {
    this.#port = port;
  }

  /** With a pool that nobody else uses meanwhile. */
  async withPool(action: (pool: string) => Promise<void>): Promise<void> {
    const pool =
      this.#freePools.pop() ?? (await new Promise<string>((resolve) => this.#waiting.push(resolve)));
    try {
      await action(pool);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#freePools.push(pool);
      else next(pool);
    }
  }

  async connectionOf(user: string): Promise<OpenConnection> {
    for (let polls = 0; polls < MAX_POLLS; polls++) {
      const answer = await this.ask("GET", `/api/connections?user=${user}`);
      const [connection] = (answer as { connections: OpenConnection[] }).connections;
      if (connection !== undefined) return connection;
      await sleep(POLL_MS);
    }
    throw new Error(`${user} has no connection`);
  }

  async setBackend(pool: string, id: string, state: "active" | "draining" | "down"): Promise<void> {
    await this.ask("PUT", `/api/pools/${pool}/backends/${id}`, { state });
  }

  /** Throws for any answer but a 200. */
  async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request({ host: "127.0.0.1", port: this.#port, agent: this.#agent, method, path }, resolve)
      .on("error", reject)
      .end(body === undefined ? undefined : JSON.stringify(body));
    const response = await promise;
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(Buffer.from(chunk));
    const text = Buffer.concat(chunks).toString();
    if (response.statusCode !== 200) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
    return JSON.parse(text);
  }

  close(): void {
    this.#agent.destroy();
  }
}
