// Asks the admin API of a running Weir, and says of what goes wrong what a person can do about it.

import { Agent, type Dispatcher, request } from "undici";
import { ExitCode, FatalError } from "../errors.ts";
import { plain } from "./plain-text.ts";
import type { Remote } from "./remote.ts";

type Method = "GET" | "POST" | "PUT";

interface AskOptions {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Statuses besides 2xx whose answer the caller wants to see. */
  readonly expected?: readonly number[];
}

interface Answer {
  readonly status: number;
  /** What the JSON says; whoever asked knows its shape. */
  readonly body: unknown;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** Above what `?wait=` is asked to wait. */
const ANSWER_TIMEOUT_MS = 60_000;

export class AdminClient {
  readonly #remote: Remote;
  readonly #agent: Agent;

  constructor(remote: Remote) {
    this.#remote = remote;
    const { socketPath } = remote;
    this.#agent = new Agent({
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(socketPath === null ? {} : { socketPath }) },
      headersTimeout: ANSWER_TIMEOUT_MS,
    });
  }

  /**
   * One request. Throws FatalError: `unavailable` where nobody answers, or no Weir; `noPermission` for 401
   * and 403; `usage` for any other refusal that is not expected.
   *
   * @param path with its query, such as `/api/pools`
   */
  async ask(method: Method, path: string, { body, expected = [] }: AskOptions = {}): Promise<Answer> {
    const { baseUrl, headers } = this.#remote;
    const options = {
      method,
      dispatcher: this.#agent,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    };
    const { status, text } = await answerTo(request(`${baseUrl}${path}`, options)).catch((error: unknown) => {
      throw unreachable(this.#remote, error);
    });
    const answer = { status, body: parsed(text) };
    const isFine = (status >= 200 && status < 300) || expected.includes(status);
    if (isFine && answer.body !== undefined) return answer;
    throw refused(this.#remote, answer);
  }

  /** Ends the sockets, so that the process can end. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

async function answerTo(
  response: Promise<Dispatcher.ResponseData>,
): Promise<{ status: number; text: string }> {
  const { statusCode, body } = await response;
  return { status: statusCode, text: await body.text() };
}

/** Undefined for what is no JSON. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function unreachable({ shown }: Remote, error: unknown): FatalError {
  const code = codeOf(error);
  const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return new FatalError(
    `cannot reach Weir at ${shown}: ${reason}; --admin URL or WEIR_ADMIN says where its admin server is`,
    ExitCode.unavailable,
    error,
  );
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused (does it run?)",
  ENOENT: "there is no such socket (does it run?)",
  EACCES: "permission denied",
  ENOTFOUND: "the name is not known",
  ECONNRESET: "it closed the connection",
  UND_ERR_SOCKET: "it closed the connection",
  UND_ERR_CONNECT_TIMEOUT: "no connection in time",
  UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  ETIMEDOUT: "no connection in time",
};

/** Several addresses of one name fail together, as an AggregateError. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

export function refused({ shown, headers }: Remote, { status, body }: Answer): FatalError {
  const message = messageOf(body);
  if (status === 401) {
    const advice =
      headers.authorization === undefined
        ? "it wants its admin.token: give it by WEIR_TOKEN or --token-file FILE"
        : "the token is not its admin.token";
    return new FatalError(`Weir at ${shown} refuses: ${advice}`, ExitCode.noPermission);
  }
  if (message === null) {
    return new FatalError(
      `what answers at ${shown} is no Weir, or one behind something else (status ${status})`,
      ExitCode.unavailable,
    );
  }
  const exitCode = status === 403 ? ExitCode.noPermission : ExitCode.usage;
  return new FatalError(plain(`Weir at ${shown} refuses: ${message}`), exitCode);
}

/** What a refusal of the API says; null where it is none. */
function messageOf(body: unknown): string | null {
  const isRefusal = typeof body === "object" && body !== null && "error" in body && "message" in body;
  return isRefusal ? String(body.message) : null;
}
