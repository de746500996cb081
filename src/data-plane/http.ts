// Plain HTTP requests beside the WebSockets: finds the route and the client of each, and answers those
// that are refused. They hold no connection slot.

import type http from "node:http";
import { Refusal } from "../errors.ts";
import type { LogFields } from "../log.ts";
import type { AdmissionDesk } from "./admission-desk.ts";
import { addressOf } from "./client-address.ts";
import { cutAnswer } from "./cut-answer.ts";
import { forwardWithRetries } from "./forward-with-retries.ts";
import { awaitsContinue, Forwarder, hasBody } from "./forwarder.ts";
import { identify, locate } from "./identify.ts";
import { connectionHeader, refusalAnswer } from "./refuse.ts";
import { answerHealth, isHealthRequest } from "./health-path.ts";
import type { ListenerSettings } from "./listener-settings.ts";
import type { Reporter, RequestFacts } from "./reporter.ts";
import { checkHead } from "./request-head.ts";
import { requestIdOf } from "./request-id.ts";
import { parseTarget, type RequestTarget } from "./routes.ts";
import { isSecure } from "./secure-socket.ts";
import { localPortOf } from "./socket-ends.ts";
import type { Settings } from "./settings.ts";

/** Counted as the status of a request whose client left before it had one; nginx's number for it. */
const CLIENT_LEFT = 499;

/** What comes after such a head may be another one than it seems. */
const UNREADABLE: ReadonlySet<string> = new Set(["bad_request", "head_too_large"]);

interface PlainRequestsContext {
  readonly settings: () => Settings;
  readonly desk: AdmissionDesk;
  readonly reporter: Reporter;
}

export class PlainRequests {
  readonly #context: PlainRequestsContext;
  readonly #forwarder: Forwarder;
  /** Those that have not got their whole answer. */
  readonly #unanswered = new Set<http.ServerResponse>();
  #isDraining = false;
  #onInFlight: (requests: number) => void = () => {};

  constructor(context: PlainRequestsContext) {
    this.#context = context;
    this.#forwarder = new Forwarder({
      idleTimeoutMs: () => context.settings().config.timeouts.http,
      persistence: (request, response) => this.#persistence(request, response),
    });
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

  async onRequest(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    listener: ListenerSettings,
  ): Promise<void> {
    const { desk, reporter } = this.#context;
    const settings = this.#context.settings();
    const startedAtMs = performance.now();
    const facts: RequestFacts = { pool: null, address: addressOf(request.socket) };
    let isRefused = false;
    this.#onInFlight(this.#unanswered.add(response).size);
    response.on("close", () => {
      this.#unanswered.delete(response);
      const status = response.headersSent ? response.statusCode : CLIENT_LEFT;
      reporter.requestEnded(facts.pool, status);
      if (!isRefused) reporter.requestAnswered(facts, { status, ...storyOf(request, startedAtMs) });
      this.#onInFlight(this.#unanswered.size);
    });
    try {
      const target = parseRequest(request);
      if (isHealthRequest(request, target, listener)) {
        await answerHealth(desk, target, response, this.#persistence(request, response));
        return;
      }
      const place = locate(request, request.socket, settings);
      const requestId = requestIdOf(request, place.isPeerTrusted);
      Object.assign(facts, { address: place.address, requestId });
      listener.access.check(place.address);
      const route = settings.routes.match(target);
      Object.assign(facts, { pool: route.pool, route: route.id });
      settings.access.get(route.id)?.check(place.address);
      if (route.http === "reject") throw new Refusal("http_rejected");
      const passport = await settings.credentials.check({
        request,
        target,
        route,
        client: place,
        isSecure: isSecure(request.socket),
        localPort: localPortOf(request.socket),
        requestId,
        onLeave: leaveNotice(response),
      });
      const client = identify(request, place, settings, passport);
      Object.assign(facts, { user: client.user, tier: client.tier });
      reporter.hints.look(request, route.pool, client, settings);
      await forwardWithRetries(
        { desk, reporter, forwarder: this.#forwarder },
        { request, response, settings, passport, route, client, requestId },
      );
    } catch (error) {
      isRefused = true;
      this.#refuse(request, response, error, facts);
    }
  }

  #refuse(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    error: unknown,
    facts: RequestFacts,
  ): void {
    const refusal = error instanceof Refusal ? error : new Refusal("internal", { cause: error });
    this.#context.reporter.requestRefused(refusal, facts);
    if (refusal.status === null || response.headersSent || response.destroyed) {
      cutAnswer(response);
      return;
    }
    const { status, headers, body } = refusalAnswer(refusal);
    // What is left of the request's body is not worth reading, nor what comes after a malformed one.
    const isLast = (hasBody(request) && !request.complete) || UNREADABLE.has(refusal.code);
    const persistence = isLast ? "close" : this.#persistence(request, response);
    response.writeHead(status, { ...headers, Connection: connectionHeader(headers, persistence) });
    response.end(body);
  }

  /**
   * Whether another request may follow on the client's socket. Behind an `Upgrade` Node reads none, with HTTP/1.0
   * only its end tells that of a body without a length, and a body that waits to be asked for may come or not.
   */
  #persistence(request: http.IncomingMessage, response: http.ServerResponse): "close" | "keep-alive" {
    const isLast =
      request.headersDistinct["upgrade"] !== undefined ||
      request.httpVersion === "1.0" ||
      (awaitsContinue(request) && !request.complete);
    return this.#isDraining || isLast || !response.shouldKeepAlive ? "close" : "keep-alive";
  }
}

/** Calls back once the client has left; a later callback takes the place of the one before, and null of any. */
function leaveNotice(response: http.ServerResponse): (callback: (() => void) | null) => void {
  let current: (() => void) | null = null;
  return (callback) => {
    if (current !== null) response.off("close", current);
    current = callback;
    if (callback === null) return;
    if (response.destroyed) callback();
    else response.on("close", callback);
  };
}

/**
 * Throws Refusal `head_too_large`, or `bad_request`: for a version that Node parses and RFC 9112 does not
 * know, and for a missing or repeated Host (RFC 9112 §3.2), whose routing the backend might see in another way.
 */
export function parseRequest(request: http.IncomingMessage): RequestTarget {
  checkHead(request);
  const { httpVersionMajor, httpVersionMinor, headersDistinct } = request;
  if (httpVersionMajor !== 1) throw new Refusal("bad_request", { message: "the version must be HTTP/1" });
  const hosts = headersDistinct["host"] ?? [];
  const [host] = hosts;
  if (hosts.length > 1 || host === "" || (host === undefined && httpVersionMinor > 0)) {
    throw new Refusal("bad_request", { message: "there must be one host" });
  }
  return parseTarget(request.url ?? "", host ?? "");
}

/** Without the query, which may hold a token. */
function storyOf({ method, url = "" }: http.IncomingMessage, startedAtMs: number): LogFields {
  const [path = ""] = url.split("?", 1);
  return { method, path, durationMs: Math.round(performance.now() - startedAtMs) };
}
