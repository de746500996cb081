// The service of forward auth, as a thread reaches it: kept connections, a bound on what waits for it, and
// its whole answer. What is asked, and what an answer means, is for others.

import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { buildConnector, Dispatcher, Pool } from "undici";
import { countSocket } from "../open-sockets.ts";

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

/** undici writes it into each request, though HTTP/1.1 keeps connections without a word about it. */
const CONNECTION_LINE = "connection: keep-alive\r\n";

export class AuthService {
  readonly origin: string;
  /** The library comes late, only where it is needed: each thread would pay for it at its start. */
  readonly #pool: Promise<Pool>;
  #inFlight = 0;

  constructor(origin: string) {
    this.origin = origin;
    this.#pool = openPool(origin);
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
    }
  }

  /** Ends its connections once what was asked is answered. */
  async close(): Promise<void> {
    await (await this.#pool).close();
  }

  async #ask(question: Question): Promise<ServiceAnswer> {
    const pool = await this.#pool;
    try {
      return await send(pool, question);
    } catch (error) {
      // A service may close an idle connection in the moment that we choose it; asking is without effects.
      if (!isStale(error)) throw error;
      return await send(pool, question);
    }
  }
}

async function openPool(origin: string): Promise<Pool> {
  const { buildConnector, Pool } = await import("undici");
  return new Pool(origin, {
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    // The signal is the only deadline.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: withoutConnectionLine(buildConnector({})),
  });
}

function withoutConnectionLine(connector: buildConnector.connector): buildConnector.connector {
  return (options, callback) =>
    connector(options, (...outcome) => {
      const [error, socket] = outcome;
      if (error === null) {
        countSocket(socket);
        leaveOutConnectionLine(socket);
      }
      callback(...outcome);
    });
}

/** A question's head is written as one string. */
function leaveOutConnectionLine(socket: Socket): void {
  const write = socket.write.bind(socket) as (chunk: unknown, ...rest: unknown[]) => boolean;
  socket.write = (chunk: unknown, ...rest: unknown[]): boolean =>
    write(typeof chunk === "string" ? chunk.replace(CONNECTION_LINE, "") : chunk, ...rest);
}

async function send(pool: Pool, { path, headers, signal }: Question): Promise<ServiceAnswer> {
  const {
    statusCode,
    headers: answered,
    body,
  } = await pool.request({
    method: "GET",
    path,
    headers: [...headers],
    signal,
  });
  return { status: statusCode, headers: linesOf(answered), body: await readBody(body) };
}

function linesOf(headers: IncomingHttpHeaders): ServiceAnswer["headers"] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? [value] : value]),
  );
}

async function readBody(body: Dispatcher.ResponseData["body"]): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function isStale(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    (error.code === "UND_ERR_SOCKET" || error.code === "ECONNRESET")
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}
