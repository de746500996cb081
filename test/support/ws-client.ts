// The `ws` client, awaitable: the first of the two oracles (the other is raw-client.ts).
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";

import { type ClientOptions, type RawData, WebSocket } from "ws";

import { onCleanup } from "./cleanup.ts";
import { within } from "./until.ts";

interface WsClientOptions extends ClientOptions {
  readonly protocols?: string | string[];
}

interface ReceivedMessage {
  readonly data: Buffer;
  readonly isBinary: boolean;
}

interface CloseEvent {
  readonly code: number;
  readonly reason: string;
}

/** The answer to an upgrade that was not a 101. */
interface RefusedUpgrade {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export class WsClient {
  readonly socket: WebSocket;
  /** The headers of the 101; `x-backend-id` tells which echo backend answered. */
  readonly headers: IncomingHttpHeaders;
  readonly #messages: ReceivedMessage[] = [];
  readonly #readers: ((message: ReceivedMessage) => void)[] = [];
  readonly #closed: Promise<CloseEvent>;

  constructor(socket: WebSocket, headers: IncomingHttpHeaders) {
    this.socket = socket;
    this.headers = headers;
    const { promise, resolve } = Promise.withResolvers<CloseEvent>();
    this.#closed = promise;
    socket.on("message", (data, isBinary) => this.#onMessage({ data: toBuffer(data), isBinary }));
    socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    // A broken frame or a cut socket: the close event that follows carries what tests ask for.
    socket.on("error", () => {});
  }

  /** Of the echo backend that answered. */
  get backendId(): string {
    return String(this.headers["x-backend-id"]);
  }

  /** Messages that came and were not asked for yet. */
  get waitingMessages(): number {
    return this.#messages.length;
  }

  /** Resolves when the message is written out. */
  send(data: string | Buffer): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.socket.send(data, (error) => (error ? reject(error) : resolve()));
    return promise;
  }

  async nextMessage(): Promise<ReceivedMessage> {
    const waiting = this.#messages.shift();
    if (waiting !== undefined) return waiting;
    const { promise, resolve } = Promise.withResolvers<ReceivedMessage>();
    this.#readers.push(resolve);
    const closed = this.#closed.then(({ code, reason }) => {
      throw new Error(`closed with ${code} '${reason}' before the next message`);
    });
    return within("the next message", Promise.race([promise, closed]));
  }

  async nextText(): Promise<string> {
    return (await this.nextMessage()).data.toString();
  }

  /** Sends a message and returns the next one that comes. */
  async ask(text: string): Promise<string> {
    await this.send(text);
    return this.nextText();
  }

  /** Sends our Close, or with no arguments an empty one; resolves when the connection is closed. */
  close(code?: number, reason?: string): Promise<CloseEvent> {
    this.socket.close(code, reason);
    return this.closed();
  }

  /** How the connection ended, once it has; 1006 for an end without a Close. */
  closed(): Promise<CloseEvent> {
    return within("the connection is closed", this.#closed);
  }

  #onMessage(message: ReceivedMessage): void {
    const reader = this.#readers.shift();
    if (reader === undefined) this.#messages.push(message);
    else reader(message);
  }
}

/** Opens a WebSocket; rejects with the status and body when the upgrade is refused. */
export async function openClient(url: string, options: WsClientOptions = {}): Promise<WsClient> {
  const outcome = await dial(url, options);
  if (outcome instanceof WsClient) return outcome;
  throw new Error(`${url} refused the upgrade: ${outcome.status} ${outcome.body}`);
}

/** Expects an answer other than 101, and returns it whole. */
export async function expectRefusal(url: string, options: WsClientOptions = {}): Promise<RefusedUpgrade> {
  const outcome = await dial(url, options);
  if (outcome instanceof WsClient) throw new Error(`${url} accepted the upgrade`);
  return outcome;
}

async function dial(url: string, options: WsClientOptions): Promise<WsClient | RefusedUpgrade> {
  const { protocols, ...clientOptions } = options;
  const socket = new WebSocket(url, protocols, clientOptions);
  onCleanup(`a WebSocket to ${url}`, () => socket.terminate());
  const { promise, resolve, reject } = Promise.withResolvers<WsClient | RefusedUpgrade>();
  // The client is made at `upgrade`, before `ws` emits anything that came with the 101.
  socket.once("upgrade", (response) => {
    const client = new WsClient(socket, response.headers);
    socket.once("open", () => resolve(client));
  });
  socket.once("unexpected-response", (request: ClientRequest, response: IncomingMessage) => {
    readRefusal(response).then(resolve, reject);
    response.once("close", () => request.destroy());
  });
  socket.on("error", reject);
  return within(`an answer from ${url}`, promise);
}

async function readRefusal(response: IncomingMessage): Promise<RefusedUpgrade> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk));
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString(),
  };
}

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
