// The admin server, on an address of its own: liveness, readiness, metrics, the dashboard, the JSON API and
// its WebSockets. It answers only requests that a browser on another site cannot have made.

import { once } from "node:events";
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { AdminConfig } from "../config/schema.ts";
import { ExitCode, FatalError } from "../errors.ts";
import type { Log } from "../log.ts";
import { isWebSocketUpgrade } from "../ws/handshake.ts";
import { judge } from "./access.ts";
import { type Answer, json, refusal, send, sendBare } from "./answer.ts";
import { isServed, listenAtPath, type UnixSocket } from "../unix-socket.ts";
import { ApiError } from "./api/endpoint.ts";
import type { Router } from "./api/router.ts";
import { dashboardFile, isDashboardFile } from "./dashboard-files.ts";
import type { Metrics } from "./metrics.ts";
import type { Sockets } from "./sockets.ts";
import { WrongTokens } from "./wrong-tokens.ts";

interface AdminSources {
  readonly log: Log;
  readonly metrics: Metrics;
  /** @param pool also asks that a backend of this pool may be given work */
  readonly isReady: (pool: string | null) => boolean;
  readonly api: Router;
  /** Resolves when everything is known here that a client could know. */
  readonly catchUp: () => Promise<void>;
  readonly sockets: Sockets;
}

const PROBES: ReadonlySet<string> = new Set(["/healthz", "/readyz", "/metrics"]);

const NOT_FOUND = refusal(404, "not_found", "no such endpoint");

const MAX_BODY_BYTES = 64 * 1024;

/** Requests are small, and whoever does not finish one holds a socket that the traffic could use. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_SOCKETS = 2_000;

export class AdminServer {
  #config: AdminConfig;
  readonly #sources: AdminSources;
  readonly #server: http.Server;
  readonly #wrongTokens: WrongTokens;
  /** The newest answer that a socket waits for: the last one to come. */
  readonly #unanswered = new WeakMap<Socket, http.ServerResponse>();
  /** The one that was bound last; null before, and for a Unix socket. */
  #port: number | null = null;
  #unixSocket: UnixSocket | null = null;

  constructor(config: AdminConfig, sources: AdminSources) {
    this.#config = config;
    this.#sources = sources;
    this.#wrongTokens = new WrongTokens(sources.log);
    this.#server = http.createServer({
      headersTimeout: REQUEST_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 5,
      shouldUpgradeCallback: (request) => isWebSocketUpgrade(request),
    });
    this.#server.maxConnections = MAX_SOCKETS;
    this.#server.on("request", (request, response) => void this.#onRequest(request, response));
    this.#server.on(
      "upgrade",
      (request, socket, head) =>
        void this.#onUpgrade(request, socket, head).catch((error: unknown) => {
          this.#logMistake(error);
          socket.destroy();
        }),
    );
  }

  /** For requests from now on; `bind` is as it was. */
  configure(config: AdminConfig): void {
    this.#config = config;
  }

  /**
   * Resolves with the address; after `close`, it is the same again. Throws FatalError with exit code 71 where it
   * cannot be bound.
   */
  async listen(): Promise<string> {
    const { bind } = this.#config;
    try {
      if (bind.kind === "unix") return await this.#listenAt(bind.path);
      return await this.#listenOn(bind.host, this.#port ?? bind.port);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
      throw new FatalError(`cannot listen on ${bind.text} (admin): ${code}`, ExitCode.cannotBind, error);
    }
  }

  /** Where it listens: a port, or the path of a Unix socket; null before it does. */
  get place(): number | string | null {
    return this.#config.bind.kind === "unix" ? this.#config.bind.path : this.#port;
  }

  /** Frees the address, and cuts what is under way. */
  async close(): Promise<void> {
    await this.#unixSocket?.remove();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#wrongTokens.stop();
    this.#sources.sockets.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #listenOn(host: string, port: number): Promise<string> {
    this.#server.listen({ port, exclusive: true, ...(host === "" ? {} : { host }) });
    await once(this.#server, "listening");
    const bound = this.#server.address() as AddressInfo;
    this.#port = bound.port;
    return `http://${bound.family === "IPv6" ? `[${bound.address}]` : bound.address}:${bound.port}`;
  }

  async #listenAt(path: string): Promise<string> {
    if (await isServed(path))
      throw Object.assign(new Error("another process serves it"), { code: "EADDRINUSE" });
    this.#unixSocket = await listenAtPath(this.#server, path);
    return `unix:${path}`;
  }

  async #onRequest(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const gone = new AbortController();
    const { socket } = request;
    this.#unanswered.set(socket, response);
    response.on("close", () => {
      gone.abort();
      if (this.#unanswered.get(socket) === response) this.#unanswered.delete(socket);
    });
    const answer = await this.#answer(request, gone.signal).catch((error: unknown) => this.#answerOf(error));
    send(request, response, answer);
  }

  async #onUpgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Nobody else listens: the client may leave at any time.
    socket.on("error", () => socket.destroy());
    // An answer that is still to come would land amid the frames.
    if (this.#unanswered.has(request.socket)) return void socket.destroy();
    const url = urlOf(request);
    const refused =
      url === null
        ? refusal(400, "bad_request", "the path is not valid")
        : ((await this.#deny(request, url.pathname)) ??
          this.#sources.sockets.accept({ request, socket, head, url }));
    if (refused !== null) sendBare(request, socket, refused);
  }

  async #answer(request: http.IncomingMessage, signal: AbortSignal): Promise<Answer> {
    const url = urlOf(request);
    if (url === null) return refusal(400, "bad_request", "the path is not valid");
    const denied = await this.#deny(request, url.pathname);
    if (denied !== null) return denied;
    if (isInformed(url.pathname)) await this.#sources.catchUp();
    const { method = "" } = request;
    const answer = await this.#sources.api.answer({
      method,
      url,
      body: (max) => readJson(request, max),
      signal,
    });
    if (answer !== null) return json(answer.status, answer.body);
    if (!PROBES.has(url.pathname) && !isDashboardFile(url.pathname)) return NOT_FOUND;
    if (method !== "GET" && method !== "HEAD") {
      return refusal(405, "method_not_allowed", "only GET is served here", { Allow: "GET, HEAD" });
    }
    return await this.#answerProbe(url);
  }

  async #answerProbe({ pathname, searchParams }: URL): Promise<Answer> {
    switch (pathname) {
      case "/healthz":
        return { status: 200, type: "text/plain", body: "ok\n" };
      case "/readyz":
        return this.#sources.isReady(searchParams.get("pool"))
          ? { status: 200, type: "text/plain", body: "ready\n" }
          : { status: 503, type: "text/plain", body: "not ready\n" };
      case "/metrics": {
        const { exposition } = this.#sources.metrics;
        return { status: 200, type: exposition.contentType, body: await exposition.text() };
      }
      default:
        return (await dashboardFile(pathname)) ?? NOT_FOUND;
    }
  }

  #answerOf(error: unknown): Answer {
    if (error instanceof ApiError) return refusal(error.status, error.code, error.message, error.headers);
    this.#logMistake(error);
    return refusal(500, "internal", "internal error");
  }

  #logMistake(error: unknown): void {
    const stack = error instanceof Error ? error.stack : String(error);
    this.#sources.log.error("admin request failed", { error: stack });
  }

  /** Null where the request may go on. */
  async #deny(request: http.IncomingMessage, path: string): Promise<Answer | null> {
    const verdict = judge(request, path, this.#config);
    if (verdict.isGuess) await this.#wrongTokens.delay(request.socket.remoteAddress);
    return verdict.denied;
  }
}

/** Whether what is answered there tells of connections, or acts on them. */
function isInformed(path: string): boolean {
  return path === "/metrics" || path.startsWith("/api/");
}

/** Null where it is not a path. */
function urlOf({ url: target = "" }: http.IncomingMessage): URL | null {
  return /^\/(?!\/)/.test(target) ? URL.parse(target, "http://admin") : null;
}

/** Undefined where there is none. Throws ApiError (400, 413). */
async function readJson(request: http.IncomingMessage, maxBytes = MAX_BODY_BYTES): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) throw new ApiError(413, "too_large", `a body has ${maxBytes} bytes at most`);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new ApiError(400, "bad_request", "the body is not JSON");
  }
}
