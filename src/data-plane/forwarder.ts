// Carries a plain HTTP request to one backend and its answer back. The request is http-proxy's to send; here
// is what that leaves open: bodies that must not be lost, silence, and what a failure was.

import type http from "node:http";
import { Stream } from "node:stream";
import httpProxy from "http-proxy";
import { Refusal } from "../errors.ts";
import { answerFault } from "./answer-fault.ts";
import { answerHeaders } from "./answer-headers.ts";
import { cutAnswer } from "./cut-answer.ts";
import type { DialTarget } from "./dial-target.ts";

interface ForwarderOptions {
  /** `timeouts.http`, which a reload may change. */
  readonly idleTimeoutMs: () => number;
  /** Whether another request may follow on the client's socket. */
  readonly persistence: (
    request: http.IncomingMessage,
    response: http.ServerResponse,
  ) => "close" | "keep-alive";
}

/** A plain request, and the backend that it goes to. */
export interface Forwarding {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly target: DialTarget;
  /** IP addresses of its name, in the order to try; null: not known, or not needed. */
  readonly addresses: readonly string[] | null;
  /** For a backend that expects one; null for none. */
  readonly proxyHeader: Buffer | null;
  /** What the backend is asked for, with its query. */
  readonly path: string;
  /** Name, value, name, value …, without those of the hop. */
  readonly headers: readonly string[];
  /** A `Set-Cookie` of our own that the answer gets; null for none. */
  readonly setCookie: string | null;
}

interface Exchange extends Forwarding {
  /** The socket to the backend is connected once it is `sent`: from then on the backend may have seen it. */
  state: "connecting" | "sent" | "answered" | "failed";
  /** Null until it has a socket. */
  outgoing: http.ClientRequest | null;
  /** Its head is here; the body may not be. */
  answer: http.IncomingMessage | null;
  readonly resolve: (outcome: Refusal | null) => void;
  readonly reject: (refusal: Refusal) => void;
}

type ProxyError = Error & { readonly code?: string };

class BackendTimeout extends Error {}

/** Stands for the body until the backend is connected: before, not a byte of it may be lost. */
class HeldBody extends Stream {
  override pipe<T extends NodeJS.WritableStream>(destination: T): T {
    return destination;
  }
}

const HELD_BODY = new HeldBody();

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #proxy = httpProxy.createProxyServer({ xfwd: false });
  /** By the client's request. */
  readonly #exchanges = new WeakMap<http.IncomingMessage, Exchange>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#proxy.on("proxyReq", (outgoing, request) => {
      const exchange = this.#exchanges.get(request);
      if (exchange !== undefined) this.#onSocket(exchange, outgoing);
    });
    this.#proxy.on("proxyRes", (answer, request) => {
      const exchange = this.#exchanges.get(request);
      if (exchange !== undefined) this.#onAnswer(exchange, answer);
    });
  }

  /**
   * Resolves with null once the answer is on its way, or the client is gone; with a Refusal where the
   * backend could not be connected, so that another may be asked for the same. Throws Refusal
   * `backend_failed` or `backend_timeout` where the request may have been seen.
   */
  async forward(forwarding: Forwarding): Promise<Refusal | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal | null>();
    const { response } = forwarding;
    const onClose = (): void => resolve(null);
    response.on("close", onClose);
    this.#send({ ...forwarding, state: "connecting", outgoing: null, answer: null, resolve, reject });
    try {
      return await promise;
    } finally {
      response.off("close", onClose);
    }
  }

  #send(exchange: Exchange): void {
    const { request, response, target, addresses, proxyHeader, path, headers } = exchange;
    const { host, port, socketPath, secure } = target.config.target;
    request.url = path;
    request.headers = headerObject(headers);
    if (this.#exchanges.has(request)) {
      // http-proxy leaves its listeners at both with each try.
      request.setMaxListeners(0);
      response.setMaxListeners(0);
    }
    this.#exchanges.set(request, exchange);
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
        agent: target.agentFor(addresses, proxyHeader),
        buffer: HELD_BODY,
        selfHandleResponse: true,
      },
      (error: ProxyError) => this.#onError(exchange, error),
    );
  }

  /** The backend is connected. */
  #onSocket(exchange: Exchange, outgoing: http.ClientRequest): void {
    const { request, path } = exchange;
    exchange.outgoing = outgoing;
    frameBody(outgoing, request);
    // http-proxy drops an empty query.
    outgoing.path = path;
    this.#watch(exchange, outgoing);
    exchange.state = "sent";
    if (awaitsContinue(request)) exchange.response.writeContinue();
    request.pipe(outgoing);
  }

  /** For what http-proxy does not: silence, and a backend that switches protocols by itself. */
  #watch(exchange: Exchange, outgoing: http.ClientRequest): void {
    const { request, response } = exchange;
    const idleMs = this.#options.idleTimeoutMs();
    outgoing.setTimeout(idleMs, () => {
      // Where the client owes the next byte, the backend is not to blame.
      const isClientsTurn = !request.complete && !outgoing.writableNeedDrain;
      // First of all: Node drops what it still holds of a destroyed request's answer, and tells its end as if
      // nothing were missing.
      if (isClientsTurn || exchange.state === "answered") cutAnswer(response);
      if (!isClientsTurn) outgoing.destroy(new BackendTimeout(`no byte for ${idleMs} ms`));
    });
    outgoing.on("upgrade", (_answer, socket) => {
      socket.destroy();
      fail(exchange, new Refusal("backend_failed", { message: "the backend switched protocols unasked" }));
    });
  }

  #onAnswer(exchange: Exchange, answer: http.IncomingMessage): void {
    const fault = answerFault(answer);
    if (fault !== null) {
      fail(exchange, new Refusal("backend_failed", { message: `the backend's answer: ${fault}` }));
      answer.destroy();
      return;
    }
    exchange.answer = answer;
    // What came right behind the head is parsed before: if it is garbage, there is still time to say so.
    process.nextTick(() => this.#passAnswer(exchange, answer));
  }

  #passAnswer(exchange: Exchange, answer: http.IncomingMessage): void {
    const { request, response, setCookie } = exchange;
    if (exchange.state === "failed") return;
    exchange.state = "answered";
    exchange.resolve(null);
    const headers = answerHeaders(answer, setCookie);
    headers.push("Connection", this.#options.persistence(request, response));
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", headers);
    answer.pipe(response);
    answer.on("close", () => {
      // A body cut short must not look whole to the client.
      if (!answer.complete) cutAnswer(response);
    });
    answer.on("end", () => this.#watchRest(exchange));
  }

  /** Behind its answer's end Node watches a request no more, whose body may be on its way still. */
  #watchRest({ request, response, outgoing }: Exchange): void {
    const socket = outgoing?.socket;
    if (outgoing === null || !socket || outgoing.writableFinished) return;
    const giveUp = (): void => {
      outgoing.destroy();
      if (response.writableFinished) request.socket.destroy();
      else cutAnswer(response);
    };
    socket.setTimeout(this.#options.idleTimeoutMs(), giveUp);
    // It may serve other requests then.
    outgoing.once("close", () => socket.off("timeout", giveUp));
  }

  #onError(exchange: Exchange, cause: ProxyError): void {
    const { request, response, outgoing, answer, state } = exchange;
    // What comes behind a whole answer is none of it; its socket is gone, and nobody gets it.
    if (state === "failed" || answer?.complete === true) return;
    if (state === "answered" || response.destroyed) {
      cutAnswer(response);
      return;
    }
    // A backend may close an idle socket in the moment that we choose it: that is no failure of the
    // request, and one without a body can be sent again.
    const isStale = cause.code === "ECONNRESET" && outgoing?.reusedSocket === true;
    if (isStale && isRepeatable(request)) {
      exchange.state = "failed";
      this.#send({ ...exchange, state: "connecting", outgoing: null, answer: null });
      return;
    }
    if (cause instanceof Refusal) return fail(exchange, cause);
    const code = cause instanceof BackendTimeout ? "backend_timeout" : "backend_failed";
    const message = `the backend failed: ${cause.code ?? cause.message}`;
    fail(exchange, new Refusal(code, { message, cause }));
  }
}

function fail(exchange: Exchange, refusal: Refusal): void {
  const isUnseen = exchange.state === "connecting";
  exchange.state = "failed";
  if (isUnseen) exchange.resolve(refusal);
  else exchange.reject(refusal);
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

export function hasBody({ headersDistinct }: http.IncomingMessage): boolean {
  const length = headersDistinct["content-length"]?.[0] ?? "0";
  return length !== "0" || headersDistinct["transfer-encoding"] !== undefined;
}

/** Whether the client waits with its body until it is told to go on (RFC 9110 §10.1.1). */
export function awaitsContinue(request: http.IncomingMessage): boolean {
  if (request.httpVersion !== "1.1" || !hasBody(request)) return false;
  return request.headersDistinct["expect"]?.some((value) => /\b100-continue\b/i.test(value)) ?? false;
}

/** As http-proxy wants them: one value, or all of a repeated header's. */
function headerObject(rawHeaders: readonly string[]): http.IncomingHttpHeaders {
  // Not collected in an object, in which a client's `constructor` would already be there.
  const headers = new Map<string, string | string[]>();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    const value = rawHeaders[i + 1] ?? "";
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(headers);
}
