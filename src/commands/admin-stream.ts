// A WebSocket of the admin API, by which a running Weir tells of itself message by message.

import type { IncomingMessage } from "node:http";
import { type RawData, WebSocket } from "ws";
import { ExitCode, FatalError } from "../errors.ts";
import { parsed, refused, unreachable } from "./admin-client.ts";
import { plain } from "./plain-text.ts";
import type { Remote } from "./remote.ts";

interface StreamOptions {
  /** With its query, such as `/api/tap?user=a`. */
  readonly path: string;
  /** Called with what each message's JSON says. */
  readonly onMessage: (message: unknown) => void;
  /** After so many milliseconds without a message Weir is taken for gone; null for never. */
  readonly silenceMs: number | null;
}

interface StreamEnd {
  /** 1006 where Weir, or the way to it, is gone. */
  readonly code: number;
}

const OPEN_TIMEOUT_MS = 5_000;

/** An answer that is longer is not Weir's. */
const MAX_ANSWER_BYTES = 64 * 1_024;

export class AdminStream {
  readonly #socket: WebSocket;
  readonly #ended: Promise<StreamEnd>;
  #watchdog: NodeJS.Timeout | null = null;

  private constructor(socket: WebSocket, { onMessage, silenceMs }: StreamOptions) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<StreamEnd>();
    this.#ended = promise;
    const expectMore = (): void => {
      if (this.#watchdog !== null) clearTimeout(this.#watchdog);
      if (silenceMs !== null) this.#watchdog = setTimeout(() => socket.terminate(), silenceMs);
    };
    socket.on("message", (data: RawData) => {
      expectMore();
      const message = parsed(textOf(data));
      if (message !== undefined) onMessage(message);
    });
    socket.on("close", (code) => {
      if (this.#watchdog !== null) clearTimeout(this.#watchdog);
      resolve({ code });
    });
    expectMore();
  }

  /** Resolves once it is open. Throws FatalError, as `AdminClient.ask` does. */
  static async open(remote: Remote, options: StreamOptions): Promise<AdminStream> {
    const socket = new WebSocket(urlOf(remote, options.path), {
      headers: remote.headers,
      handshakeTimeout: OPEN_TIMEOUT_MS,
      perMessageDeflate: false,
    });
    const stream = new AdminStream(socket, options);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.on("open", () => resolve());
    socket.on("unexpected-response", (_, response) => {
      bodyOf(response)
        .then((text) => refused(remote, { status: response.statusCode ?? 0, body: parsed(text) }))
        .catch((error: unknown) => unreachable(remote, error))
        .then(reject, reject);
    });
    // Errors of an open socket come before its close, which is what counts.
    socket.on("error", (error) => reject(unreachable(remote, error)));
    try {
      await promise;
    } catch (error) {
      socket.terminate();
      throw error;
    }
    return stream;
  }

  /** Resolves when it has ended, whoever ended it. */
  get ended(): Promise<StreamEnd> {
    return this.#ended;
  }

  end(): void {
    this.#socket.terminate();
  }
}

/** What a command says whose stream has ended without its doing. */
export function streamLost({ shown }: Remote): FatalError {
  return new FatalError(plain(`the connection to Weir at ${shown} has ended`), ExitCode.unavailable);
}

function urlOf({ baseUrl, socketPath }: Remote, path: string): string {
  return socketPath === null ? `${baseUrl.replace(/^http/i, "ws")}${path}` : `ws+unix:${socketPath}:${path}`;
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_ANSWER_BYTES) break;
  }
  return text;
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString("utf8");
  return (data instanceof ArrayBuffer ? Buffer.from(data) : data).toString("utf8");
}
