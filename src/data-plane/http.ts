// Plain HTTP requests beside the WebSockets: chooses a backend for each and leaves the forwarding to
// http-proxy. It holds no connection slot.

import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import httpProxy from "http-proxy";
import { Refusal } from "../errors.ts";
import { answerFault } from "./answer-fault.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { backendHeaders, backendPath } from "./backend-headers.ts";
import { isHopByHop } from "./hop-by-hop.ts";
import { identify } from "./identify.ts";
import { connectionHeader, refusalAnswer } from "./refuse.ts";
import type { Reporter } from "./reporter.ts";
import { requestIdOf } from "./request-id.ts";
import { parseTarget, type RequestTarget } from "./routes.ts";
import { tlsOptions, type DialTarget, type Settings } from "./settings.ts";

/** An idle socket to a backend is kept this long for the next request. */
const IDLE_BACKEND_SOCKET_MS = 30_000;

/** Counted as the status of a request whose client left before it had one; nginx's number for it. */
const CLIENT_LEFT = 499;

interface Forwarder {
  readonly settings: () => Settings;
  readonly desk: AdmissionDesk;
  readonly reporter: Reporter;
}

type ProxyError = Error & { readonly code?: string };

/** A request at a backend. */
interface Exchange {
  readonly target: DialTarget;
  /** Null until it has a socket. */
  outgoing: http.ClientRequest | null;
}

class BackendTimeout extends Error {}

export class PlainRequests {
  readonly #context: Forwarder;
  readonly #proxy = httpProxy.createProxyServer({ xfwd: false });
  readonly #agents = new WeakMap<DialTarget, http.Agent>();
  /** By the client's request. */
  readonly #exchanges = new WeakMap<http.IncomingMessage, Exchange>();
  /** Those that have not got their whole answer. */
  readonly #unanswered = new Set<http.ServerResponse>();
  #isDraining = false;
  #onInFlight: (requests: number) => void = () => {};

  constructor(context: Forwarder) {
    this.#context = context;
    this.#proxy.on("proxyReq", (outgoing, request, response, _options, socket) => {
      const exchange = this.#exchanges.get(request);
      if (exchange === undefined) return;
      exchange.outgoing = outgoing;
      limitConnectTime(socket, exchange.target);
      frameBody(outgoing, request);
      // http-proxy drops an empty query.
      outgoing.path = request.url ?? "/";
      this.#watch(outgoing, request, response);
    });
    this.#proxy.on("proxyRes", (answer, request, response) => this.#onAnswer(answer, request, response));
  }

  /**
   * From now on every answer asks the client to close its connection.
   * @param onInFlight told how many requests wait for their whole answer, now and whenever it changes
   */
  startDraining(onInFlight: (requests: number) => void): void {
    this.#isDraining = true;
    this.#onInFlight = onInFlight;
    onInFlight(this.#unanswered.size);
  }

  destroyAll(): void {
    for (const response of this.#unanswered) response.destroy();
  }

  async onRequest(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { desk, reporter } = this.#context;
    const settings = this.#context.settings();
    let pool: string | null = null;
    this.#onInFlight(this.#unanswered.add(response).size);
    response.on("close", () => {
      this.#unanswered.delete(response);
      reporter.requestEnded(pool, response.headersSent ? response.statusCode : CLIENT_LEFT);
      this.#onInFlight(this.#unanswered.size);
    });
    try {
      const target = parseRequest(request);
      const route = settings.routes.match(target);
      pool = route.pool;
      if (route.http === "reject") throw new Refusal("http_rejected");
      const socket = request.socket as Socket & Partial<Pick<TLSSocket, "encrypted">>;
      const client = identify(request, socket, settings);
      const grant = await desk.admit(
        { kind: "request", pool, route: route.id, tier: client.tier, user: client.user },
        null,
      );
      if (response.destroyed) throw new Refusal("client_gone");
      const dialTarget = settings.target(grant.pool, grant.backend);
      if (dialTarget === undefined) throw new Refusal("no_backend");
      const headers = backendHeaders({
        rawHeaders: request.rawHeaders,
        client,
        route,
        target,
        dialTarget,
        isSecure: socket.encrypted === true,
        localPort: socket.localPort ?? 0,
        trustedHeaders: settings.trustedHeaders,
        requestId: requestIdOf(request, client.isPeerTrusted),
      });
      request.url = backendPath(route, target, dialTarget);
      request.headers = headerObject(headers);
      this.#forward(request, response, dialTarget);
    } catch (error) {
      this.#refuse(request, response, error);
    }
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse, target: DialTarget): void {
    const { host, port, socketPath, secure } = target.config.target;
    this.#exchanges.set(request, { target, outgoing: null });
    this.#proxy.web(
      request,
      response,
      {
        target: {
          protocol: secure ? "https:" : "http:",
          host,
          port,
          ...(socketPath === null ? {} : { socketPath }),
        },
        // Sends `request.url` as it is, instead of what URL would make of it.
        toProxy: true,
        agent: this.#agentFor(target),
        secure: target.config.tls?.verify ?? true,
        ssl: secure ? tlsOptions(target) : {},
      },
      (error: ProxyError) => this.#onError(error, request, response),
    );
  }

  /** For what http-proxy does not: silence, and a backend that switches protocols by itself. */
  #watch(outgoing: http.ClientRequest, request: http.IncomingMessage, response: http.ServerResponse): void {
    const idleMs = this.#context.settings().config.timeouts.http;
    outgoing.setTimeout(idleMs, () => {
      // Where the client owes the next byte, the backend is not to blame.
      if (!request.complete && !outgoing.writableNeedDrain) response.destroy();
      else outgoing.destroy(new BackendTimeout(`no byte for ${idleMs} ms`));
    });
    outgoing.on("upgrade", (_answer, socket) => {
      socket.destroy();
      const message = "the backend switched protocols unasked";
      this.#refuse(request, response, new Refusal("backend_failed", { message }));
    });
  }

  #onAnswer(
    answer: http.IncomingMessage,
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ): void {
    const fault = answerFault(answer);
    if (fault !== null) {
      this.#refuse(
        request,
        response,
        new Refusal("backend_failed", { message: `the backend's answer: ${fault}` }),
      );
      answer.destroy();
      return;
    }
    const connection = answer.headers.connection ?? "";
    const named = new Set(connection.split(",").map((token) => token.trim().toLowerCase()));
    for (const name of Object.keys(answer.headers)) {
      if (isHopByHop(name) || named.has(name)) delete answer.headers[name];
    }
    answer.headers.connection = this.#persistence(request, response);
    answer.on("close", () => {
      // A body cut short must not look whole to the client.
      if (!answer.complete) response.destroy();
    });
  }

  #onError(cause: ProxyError, request: http.IncomingMessage, response: http.ServerResponse): void {
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    // A backend may close an idle socket in the moment that we choose it: that is no failure of the
    // request, and one without a body can be sent again.
    const exchange = this.#exchanges.get(request);
    const isStale = cause.code === "ECONNRESET" && exchange?.outgoing?.reusedSocket === true;
    if (isStale && isRepeatable(request)) {
      this.#forward(request, response, exchange.target);
      return;
    }
    const code = cause instanceof BackendTimeout ? "backend_timeout" : "backend_failed";
    const reason = cause.code ?? cause.message;
    this.#refuse(request, response, new Refusal(code, { message: `the backend failed: ${reason}`, cause }));
  }

  #refuse(request: http.IncomingMessage, response: http.ServerResponse, error: unknown): void {
    const refusal = error instanceof Refusal ? error : new Refusal("internal", { cause: error });
    this.#context.reporter.requestRefused(refusal, request.socket.remoteAddress);
    if (refusal.status === null || response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const { status, headers, body } = refusalAnswer(refusal);
    // What is left of the request's body is not worth reading, nor what comes after a malformed one.
    const isLast = (hasBody(request) && !request.complete) || refusal.code === "bad_request";
    const persistence = isLast ? "close" : this.#persistence(request, response);
    response.writeHead(status, { ...headers, Connection: connectionHeader(headers, persistence) });
    response.end(body);
  }

  /** Whether another request may follow on the client's socket. Behind an `Upgrade` Node reads none. */
  #persistence(request: http.IncomingMessage, response: http.ServerResponse): "close" | "keep-alive" {
    const isUpgrade = request.headersDistinct["upgrade"] !== undefined;
    return this.#isDraining || isUpgrade || !response.shouldKeepAlive ? "close" : "keep-alive";
  }

  #agentFor(target: DialTarget): http.Agent {
    const known = this.#agents.get(target);
    if (known !== undefined) return known;
    const options = { keepAlive: true, timeout: IDLE_BACKEND_SOCKET_MS };
    const agent = target.config.target.secure ? new https.Agent(options) : new http.Agent(options);
    this.#agents.set(target, agent);
    return agent;
  }
}

/**
 * Throws Refusal `bad_request`: for a version that Node parses and RFC 9112 does not know, and for a
 * missing or repeated Host (RFC 9112 §3.2), whose routing the backend might see in another way.
 */
function parseRequest(request: http.IncomingMessage): RequestTarget {
  const { httpVersionMajor, httpVersionMinor, headersDistinct } = request;
  if (httpVersionMajor !== 1) throw new Refusal("bad_request", { message: "the version must be HTTP/1" });
  const hosts = headersDistinct["host"] ?? [];
  if (hosts.length > 1 || (httpVersionMinor > 0 && !hosts[0])) {
    throw new Refusal("bad_request", { message: "there must be one host" });
  }
  return parseTarget(request.url ?? "", hosts[0] ?? "");
}

/** Bounds the time until a new socket can carry the request: with TLS, until after the handshake. */
function limitConnectTime(socket: Socket, { config, pool }: DialTarget): void {
  if (!socket.connecting) return;
  const timer = setTimeout(() => {
    socket.destroy(new BackendTimeout(`not connected within ${pool.connectTimeout} ms`));
  }, pool.connectTimeout);
  const clear = (): void => clearTimeout(timer);
  socket.once(config.target.secure ? "secureConnect" : "connect", clear);
  socket.once("close", clear);
}

/**
 * A body that came in chunks goes on in chunks. By itself Node would frame it only for methods that
 * usually have a body; the backend would read that of a GET or DELETE as the next request.
 */
function frameBody(outgoing: http.ClientRequest, request: http.IncomingMessage): void {
  if (request.headersDistinct["transfer-encoding"] === undefined) return;
  outgoing.removeHeader("content-length");
  outgoing.setHeader("transfer-encoding", "chunked");
}

/** Without effects, and without a body, which would be consumed by the first try. */
function isRepeatable(request: http.IncomingMessage): boolean {
  return (request.method === "GET" || request.method === "HEAD") && !hasBody(request);
}

function hasBody({ headersDistinct }: http.IncomingMessage): boolean {
  const length = headersDistinct["content-length"]?.[0] ?? "0";
  return length !== "0" || headersDistinct["transfer-encoding"] !== undefined;
}

/** As http-proxy wants them: one value, or all of a repeated header's. */
function headerObject(rawHeaders: readonly string[]): http.IncomingHttpHeaders {
  // Not collected in an object, in which a client's `constructor` would already be there.
  const headers = new Map<string, string | string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    const value = rawHeaders[i + 1] ?? "";
    // Already answered by our own server.
    if (name === "expect") continue;
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(headers);
}
