// A well-behaved backend: a `ws` server that echoes every message and remembers what it was asked.
// It tells who it is: `X-Backend-Id` on its answers, and its id in reply to the text `who`.
import { once } from "node:events";
import { createServer as createHttpServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";

import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";

import { onCleanup } from "./cleanup.ts";
import { until } from "./until.ts";

const question = Buffer.from("who");

interface EchoBackendOptions {
  readonly id?: string;
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Default 127.0.0.1; `::1` for IPv6. */
  readonly host?: string;
  /** Default any; port 0 is the usual, a fixed one brings a backend back where it was. */
  readonly port?: number;
  readonly unixPath?: string;
  /** Passed to `ws`: perMessageDeflate, handleProtocols, maxPayload and so on. */
  readonly ws?: ServerOptions;
}

interface RecordedRequest {
  readonly method: string;
  /** Path and query as they arrived. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values alternating, as they were sent. */
  readonly rawHeaders: readonly string[];
  /** Of plain HTTP requests. */
  readonly body: string;
}

interface CloseEvent {
  readonly code: number;
  readonly reason: string;
}

export class EchoBackend {
  readonly id: string;
  /** `ws://127.0.0.1:PORT` (wss with TLS), or `unix:/path`. */
  readonly url: string;
  readonly port: number;
  /** Every upgrade that was accepted, in order. */
  readonly upgrades: readonly RecordedRequest[];
  /** Every plain HTTP request, in order. */
  readonly requests: readonly RecordedRequest[];
  /** How connections ended, in the order of their ends. */
  readonly closes: readonly CloseEvent[];
  /** Every connection ever accepted, in order. */
  readonly sockets: readonly WebSocket[];
  readonly #server: RunningServer;

  constructor(server: RunningServer) {
    this.#server = server;
    this.id = server.id;
    this.url = server.url;
    this.port = server.port;
    this.upgrades = server.upgrades;
    this.requests = server.requests;
    this.closes = server.closes;
    this.sockets = server.sockets;
  }

  get openConnections(): number {
    return this.#server.webSockets.clients.size;
  }

  /** The connection with this index (0 is the first), once it is there. */
  socket(index: number): Promise<WebSocket> {
    return until(`connection ${index} of ${this.id}`, () => this.sockets[index]);
  }

  /** How the index-th connection to end was ended, once it was. */
  close(index: number): Promise<CloseEvent> {
    return until(`close ${index} of ${this.id}`, () => this.closes[index]);
  }

  /** Dies as a killed process does: no Close, no further accept. */
  async stop(): Promise<void> {
    for (const client of this.#server.webSockets.clients) client.terminate();
    this.#server.http.closeAllConnections();
    if (!this.#server.http.listening) return;
    this.#server.http.close();
    await once(this.#server.http, "close");
  }
}

interface RunningServer {
  readonly id: string;
  readonly url: string;
  readonly port: number;
  readonly http: ReturnType<typeof createHttpServer>;
  readonly webSockets: WebSocketServer;
  readonly upgrades: RecordedRequest[];
  readonly requests: RecordedRequest[];
  readonly closes: CloseEvent[];
  readonly sockets: WebSocket[];
}

export async function startEchoBackend(options: EchoBackendOptions = {}): Promise<EchoBackend> {
  const id = options.id ?? "echo";
  const http = options.tls ? createHttpsServer(options.tls) : createHttpServer();
  const webSockets = new WebSocketServer({ ...options.ws, server: http });
  const records = { upgrades: [], requests: [], closes: [], sockets: [] };
  http.listen(options.unixPath === undefined ? addressOf(options) : { path: options.unixPath });
  await once(http, "listening");
  const server = { id, http, webSockets, ...records, ...locationOf(http, options) };
  serveWebSockets(server);
  servePlainHttp(server);
  const backend = new EchoBackend(server);
  onCleanup(`the echo backend ${id}`, () => backend.stop());
  return backend;
}

function serveWebSockets({ id, webSockets, upgrades, sockets, closes }: RunningServer): void {
  webSockets.on("headers", (lines) => lines.push(`X-Backend-Id: ${id}`));
  webSockets.on("connection", (socket, request) => {
    upgrades.push(record(request, ""));
    sockets.push(socket);
    // `ws` hands every message over as one Buffer unless told otherwise.
    socket.on("message", (data: Buffer, isBinary) => {
      const isQuestion = !isBinary && data.equals(question);
      socket.send(isQuestion ? id : data, { binary: isBinary });
    });
    socket.on("close", (code, reason) => closes.push({ code, reason: reason.toString() }));
    // A cut socket or a broken frame: its close event is recorded, that is enough.
    socket.on("error", () => {});
  });
}

// Plain HTTP is answered with what was received, as JSON.
function servePlainHttp({ id, http, requests }: RunningServer): void {
  http.on("request", (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const recorded = record(request, Buffer.concat(chunks).toString());
      requests.push(recorded);
      response.setHeader("Content-Type", "application/json");
      response.setHeader("X-Backend-Id", id);
      response.end(JSON.stringify({ id, ...recorded }));
    });
  });
}

function record(request: IncomingMessage, body: string): RecordedRequest {
  const { method = "", url = "", headers, rawHeaders } = request;
  return { method, url, headers, rawHeaders, body };
}

function addressOf(options: EchoBackendOptions): { host: string; port: number } {
  return { host: options.host ?? "127.0.0.1", port: options.port ?? 0 };
}

function locationOf(http: RunningServer["http"], options: EchoBackendOptions): { url: string; port: number } {
  const address = http.address();
  if (address === null || typeof address === "string") return { url: `unix:${options.unixPath}`, port: 0 };
  const host = address.family === "IPv6" ? `[${address.address}]` : address.address;
  return { url: `${options.tls ? "wss" : "ws"}://${host}:${address.port}`, port: address.port };
}
