// The service of forward auth, as a thread reaches it: kept connections, a bound on what waits for it, and
// its whole answer. What is asked, and what an answer means, is for others. By Node's own client: undici writes
// a Connection line into each request, and fails where 100 Continue comes before the answer.

import http from "node:http";
import https from "node:https";

export interface ServiceAnswer {
  readonly status: number;
  /** The lines of each, by its name in lower case. */
  readonly headers: Readonly<Record<string, string[] | undefined>>;
  /** Null where it is larger than what is read of one. */
  readonly body: Buffer | null;
}

interface Question {
  readonly path: string;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
  /** Ends it, and with it the subrequest. */
  readonly signal: AbortSignal;
}

/** Why there is no answer. */
export class ServiceError extends Error {}

/** Of one thread. */
const MAX_CONNECTIONS = 64;

/** Those that wait for a connection are among them: past it, the service is as good as down. */
const MAX_IN_FLIGHT = 1_000;

const MAX_BODY_BYTES = 64 * 1024;

/** Shorter than what servers usually allow: whoever closes first has the race. */
const IDLE_MS = 4_000;

export class AuthService {
  readonly origin: string;
  readonly #client: typeof http | typeof https;
  readonly #agent: http.Agent;
  #inFlight = 0;
  #isClosed = false;

  constructor(origin: string) {
    this.origin = origin;
    this.#client = origin.startsWith("https:") ? https : http;
    this.#agent = new this.#client.Agent({
      keepAlive: true,
      maxSockets: MAX_CONNECTIONS,
      maxFreeSockets: MAX_CONNECTIONS,
      // Of those that are not used; the signal is the only deadline of those that are.
      timeout: IDLE_MS,
    });
  }

  /** Throws ServiceError, or the reason that the signal was given. */
  async ask(question: Question): Promise<ServiceAnswer> {
    if (this.#inFlight >= MAX_IN_FLIGHT)
      throw new ServiceError(`${MAX_IN_FLIGHT} questions wait for it already`);
    this.#inFlight += 1;
    try {
      return await this.#ask(question);
    } catch (error) {
      question.signal.throwIfAborted();
      throw new ServiceError(reasonOf(error), { cause: error });
    } finally {
      this.#inFlight -= 1;
      this.#endUnused();
    }
  }

  /** Ends its connections once what was asked is answered. */
  close(): void {
    this.#isClosed = true;
    this.#endUnused();
  }

  #endUnused(): void {
    if (this.#isClosed && this.#inFlight === 0) this.#agent.destroy();
  }

  async #ask(question: Question): Promise<ServiceAnswer> {
    for (;;) {
      const request = this.#open(question);
      const abort = (): void => void request.destroy();
      question.signal.addEventListener("abort", abort);
      try {
        return await answerTo(request, question.signal);
      } catch (error) {
        // A service may close an idle connection in the moment that we choose it; asking is without effects.
        if (!isStale(request, error) || question.signal.aborted) throw error;
      } finally {
        question.signal.removeEventListener("abort", abort);
      }
    }
  }

  #open({ path, headers, signal }: Question): http.ClientRequest {
    signal.throwIfAborted();
    const request = this.#client.request(this.origin, { path, agent: this.#agent });
    for (let i = 0; i + 1 < headers.length; i += 2)
      request.appendHeader(headers[i] ?? "", headers[i + 1] ?? "");
    // HTTP/1.1 keeps connections without a word about it.
    request.removeHeader("Connection");
    return request.end();
  }
}

async function answerTo(request: http.ClientRequest, signal: AbortSignal): Promise<ServiceAnswer> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.once("upgrade", (_response, socket) => {
      socket.destroy();
      reject(new Error("it switches protocols"));
    });
    request.on("error", reject);
    request.once("close", () => reject(new Error("it ends without an answer")));
    // One that waits for a connection says nothing of its end before it has one.
    signal.addEventListener("abort", () => reject(new Error("abandoned")), { once: true });
  });
  const { statusCode = 0, headersDistinct } = response;
  return { status: statusCode, headers: headersDistinct, body: await readBody(response) };
}

async function readBody(response: http.IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isStale(request: http.ClientRequest, error: unknown): boolean {
  if (!request.reusedSocket || !(error instanceof Error) || !("code" in error)) return false;
  return error.code === "ECONNRESET" || error.code === "EPIPE";
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
