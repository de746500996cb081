// The admin server, on an address of its own: liveness, readiness, metrics and the JSON API. It answers
// only requests that a browser on another site cannot have made.

import { createHash, timingSafeEqual } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { AdminConfig } from "../config/schema.ts";
import { ExitCode, FatalError } from "../errors.ts";
import { ApiError, JsonText } from "./api/endpoint.ts";
import type { Router } from "./api/router.ts";
import type { Metrics } from "./metrics.ts";

interface AdminSources {
  readonly metrics: Metrics;
  /** @param pool also asks that a backend of this pool may be given work */
  readonly isReady: (pool: string | null) => boolean;
  readonly api: Router;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const MAX_BODY_BYTES = 64 * 1024;

/** Open without a token: orchestrators probe them. */
const OPEN_PATHS = new Set(["/healthz", "/readyz"]);

export class AdminServer {
  #config: AdminConfig;
  readonly #sources: AdminSources;
  readonly #server: http.Server;

  constructor(config: AdminConfig, sources: AdminSources) {
    this.#config = config;
    this.#sources = sources;
    this.#server = http.createServer((request, response) => void this.#onRequest(request, response));
  }

  /** For requests from now on; `bind` is as it was. */
  configure(config: AdminConfig): void {
    this.#config = config;
  }

  /** Resolves with the address. Throws FatalError with exit code 71 where it cannot be bound. */
  async listen(): Promise<string> {
    const { bind } = this.#config;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error: NodeJS.ErrnoException) =>
        reject(
          new FatalError(`cannot listen on ${bind.text} (admin): ${error.code}`, ExitCode.cannotBind, error),
        ),
      );
      const listening = (): void => resolve();
      if (bind.kind === "unix") this.#server.listen({ path: bind.path, exclusive: true }, listening);
      else {
        const host = bind.host === "" ? {} : { host: bind.host };
        this.#server.listen({ port: bind.port, exclusive: true, ...host }, listening);
      }
    });
    if (bind.kind === "unix") return `unix:${bind.path}`;
    const { address, family, port } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #onRequest(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const { status, type, body, headers } = await this.#answer(request, gone.signal).catch((error: unknown) =>
      error instanceof ApiError ? refusalOf(error) : refusal(500, "internal", "internal error"),
    );
    response.writeHead(status, {
      "Content-Type": type,
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
      ...headers,
      ...(status === 401 ? { "WWW-Authenticate": "Bearer" } : {}),
      // What is left of a body that nobody reads would be taken for the next request.
      ...(request.complete ? {} : { Connection: "close" }),
    });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async #answer(request: http.IncomingMessage, signal: AbortSignal): Promise<Answer> {
    const target = request.url ?? "";
    const url = URL.parse(target, "http://admin");
    if (url === null || !target.startsWith("/")) return refusal(400, "bad_request", "the path is not valid");
    if (!this.#isSameSite(request)) return refusal(403, "forbidden", "host or origin is not allowed");
    if (!OPEN_PATHS.has(url.pathname) && !this.#isAuthorized(request, url.pathname)) {
      return refusal(401, "unauthorized", "a valid bearer token is required");
    }
    const { method = "" } = request;
    const answer = await this.#sources.api.answer({ method, url, body: () => readJson(request), signal });
    if (answer !== null) return json(answer.status, answer.body);
    if (method !== "GET" && method !== "HEAD") {
      return refusal(405, "method_not_allowed", "only GET is served here");
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
        const { registry } = this.#sources.metrics;
        return { status: 200, type: registry.contentType, body: await registry.metrics() };
      }
      default:
        return refusal(404, "not_found", "no such endpoint");
    }
  }

  /** DNS rebinding brings a foreign Host, a page of another site a foreign Origin. */
  #isSameSite({ headers }: http.IncomingMessage): boolean {
    const host = headers.host ?? "";
    const name = host.replace(/:\d*$/, "").toLowerCase();
    const isLoopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(name);
    if (!isLoopback && !this.#config.hosts.includes(name)) return false;
    const { origin } = headers;
    return origin === undefined || origin === `http://${host}` || origin === `https://${host}`;
  }

  #isAuthorized({ headers }: http.IncomingMessage, path: string): boolean {
    const { token, anonymous } = this.#config;
    if (token === null || (path === "/metrics" && anonymous.includes("metrics"))) return true;
    const given = /^Bearer (.+)$/i.exec(headers.authorization ?? "")?.[1] ?? "";
    // Hashing first makes both sides equally long, as the comparison needs.
    return timingSafeEqual(digest(given), digest(token));
  }
}

function refusal(status: number, error: string, message: string): Answer {
  return json(status, { error, message });
}

function refusalOf({ status, code, message, headers }: ApiError): Answer {
  return { ...refusal(status, code, message), headers };
}

function json(status: number, body: unknown): Answer {
  return {
    status,
    type: "application/json",
    body: body instanceof JsonText ? body.text : JSON.stringify(body),
  };
}

/** Undefined where there is none. Throws ApiError (400, 413). */
async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES)
      throw new ApiError(413, "too_large", `a body has ${MAX_BODY_BYTES} bytes at most`);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new ApiError(400, "bad_request", "the body is not JSON");
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
