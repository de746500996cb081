// Posts changes of the verdict to a URL, one after the other and in order, with retries. Nothing waits for it: a
// receiver that hangs costs one socket and a bounded queue.

import { Agent, request } from "undici";
import type { Log } from "../../log.ts";

/** For one try, from the connect to the end of the answer. */
const TIMEOUT_MS = 5_000;

/** Before each further try; about a minute in all. */
const RETRY_DELAYS_MS = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000];

/** Changes that wait; the oldest goes first, since the newest says more. */
const MAX_WAITING = 32;

const MAX_ANSWER_BYTES = 64 * 1024;

interface WebhookOptions {
  readonly log: Log;
  readonly timeoutMs?: number;
  readonly retryDelaysMs?: readonly number[];
}

export class Webhook {
  /** Changes that were taken, and that were given up. */
  readonly results = { ok: 0, failed: 0 };
  readonly #log: Log;
  readonly #timeoutMs: number;
  readonly #retryDelaysMs: readonly number[];
  readonly #waiting: string[] = [];
  readonly #stopped = new AbortController();
  #url: string | null;
  #isRunning = false;

  /** @param url null posts nothing */
  constructor(url: string | null, options: WebhookOptions) {
    this.#url = url;
    this.#log = options.log;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retryDelaysMs = options.retryDelaysMs ?? RETRY_DELAYS_MS;
  }

  configure(url: string | null): void {
    this.#url = url;
    if (url === null) this.#waiting.length = 0;
  }

  /** Returns at once, whatever becomes of it. */
  post(body: object): void {
    if (this.#url === null || this.#stopped.signal.aborted) return;
    if (this.#waiting.length === MAX_WAITING) {
      this.#waiting.shift();
      this.results.failed += 1;
    }
    this.#waiting.push(JSON.stringify(body));
    if (!this.#isRunning) void this.#run();
  }

  /** Gives up what is under way or waits. */
  stop(): void {
    this.#waiting.length = 0;
    this.#stopped.abort();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let body = this.#waiting.shift(); body !== undefined; body = this.#waiting.shift()) {
      await this.#deliver(body);
    }
    this.#isRunning = false;
  }

  /** Never rejects. */
  async #deliver(body: string): Promise<void> {
    let failure = "";
    for (const delayMs of [0, ...this.#retryDelaysMs]) {
      await this.#rest(delayMs);
      const url = this.#url;
      if (url === null || this.#stopped.signal.aborted) return;
      try {
        const status = await this.#send(url, body);
        if (status >= 200 && status < 300) {
          this.results.ok += 1;
          return;
        }
        failure = `answered ${status}`;
        // It was understood and is not wanted: asking again would not help.
        if (status < 500 && status !== 408 && status !== 429) break;
      } catch (error) {
        failure = describe(error);
      }
    }
    if (this.#stopped.signal.aborted) return;
    this.results.failed += 1;
    // Its path may be a secret.
    const { host } = new URL(this.#url ?? "http://-");
    this.#log.warn("webhook was not delivered", { host, reason: failure });
  }

  async #send(url: string, body: string): Promise<number> {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#timeoutMs), this.#stopped.signal]);
    // One for each try: they are rare, and nothing of it is left behind.
    const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
    try {
      const answer = await request(url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "User-Agent": "weir" },
        body,
        signal,
        dispatcher,
      });
      await answer.body.dump({ limit: MAX_ANSWER_BYTES, signal });
      return answer.statusCode;
    } finally {
      await dispatcher.destroy();
    }
  }

  async #rest(ms: number): Promise<void> {
    if (ms === 0) return;
    const { signal } = this.#stopped;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
    });
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  return "code" in error ? String(error.code) : error.message;
}
