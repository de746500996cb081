// One listening address of a worker thread: an HTTP server whose upgrades and requests are handed on, and
// whose broken bytes are answered here. What a socket has to pass before is the entrance's business.

import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import type { Config } from "../config/schema.ts";
import { Refusal, type ErrorCode } from "../errors.ts";
import type { ListenAddress } from "../shared-memory/channel.ts";
import { listenFor, type UnixSocket } from "../unix-socket.ts";
import { isWebSocketUpgrade } from "../ws/handshake.ts";
import { addressOf } from "./client-address.ts";
import type { ClientSockets } from "./client-sockets.ts";
import { Entrance } from "./entrance.ts";
import { ignoreError } from "./ignore-error.ts";
import type { ListenerSettings } from "./listener-settings.ts";
import { refuseBytes, refuseUpgrade } from "./refuse.ts";
import type { Reporter } from "./reporter.ts";

/** How often slow request heads are looked for; a server cannot change it, as it can the time they have. */
const HEAD_CHECK_INTERVAL_MS = 250;

/** Who connects while so many wait to be accepted tries again a second later. The system may allow fewer. */
const BACKLOG = 4_096;

/** On one socket; clients that send requests ahead of their answers send a few. */
const MAX_UNANSWERED = 100;

interface ListenerOptions {
  readonly config: Config;
  readonly settings: ListenerSettings;
  readonly reporter: Reporter;
  readonly sockets: ClientSockets;
  readonly onUpgrade: (request: http.IncomingMessage, socket: net.Socket, head: Buffer) => void;
  readonly onRequest: (request: http.IncomingMessage, response: http.ServerResponse) => void;
}

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: http.Server;
  readonly #entrance: Entrance;
  /** The answers that a socket still waits for, in their order. */
  readonly #unanswered = new WeakMap<net.Socket, Set<http.ServerResponse>>();
  #unixSocket: UnixSocket | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = http.createServer({
      // Bodies may take as long as they flow; `timeouts.http` watches for those that do not.
      requestTimeout: 0,
      connectionsCheckingInterval: HEAD_CHECK_INTERVAL_MS,
      noDelay: true,
      // A request without one is refused with the others, in our words and our log.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => isWebSocketUpgrade(request),
    });
    this.#entrance = this.#putEntranceBefore();
    // Node would keep the first 1 000 lines of a head and drop the rest: `checkHead` refuses such a head instead.
    this.#server.maxHeadersCount = 0;
    this.configure(options.config, options.settings);
    this.#server.on("request", (request, response) => this.#onRequest(request, response));
    // Node would answer expectations by itself: past our rules, and unheard of. A body is asked for by the forwarder.
    this.#server.on("checkContinue", (request, response) => this.#onRequest(request, response));
    this.#server.on("checkExpectation", (request, response) => this.#onRequest(request, response));
    this.#server.on("upgrade", (request, stream, head) => {
      const socket = socketOf(request, stream);
      options.sockets.onRequest(socket);
      if (this.#entrance.isOutdated(socket)) return this.#cutOff(socket);
      this.#entrance.forget(socket);
      this.#inTurn(socket, {
        first: () => options.onUpgrade(request, socket, head),
        behind: () => this.#refusePipelined(request, socket),
      });
    });
    this.#server.on("connect", (request, stream) => {
      const socket = socketOf(request, stream);
      options.sockets.onRequest(socket);
      const refuse = (): void => this.#refuseTunnel(socket);
      this.#inTurn(socket, { first: refuse, behind: refuse });
    });
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
      this.#onClientError(error, socket as net.Socket),
    );
  }

  /**
   * The size of a head holds for connections from now on, the times for those that are open, too. Where other
   * things have to be shown at the entrance, who has not shown them is served no more.
   */
  configure({ limits, timeouts }: Config, { entrance }: ListenerSettings): void {
    const isAnotherPolicy = entrance.policy !== this.#entrance.policy;
    this.#entrance.configure(entrance);
    if (isAnotherPolicy) this.#cutOutdated();
    const { maxHeaderSize } = limits;
    // The server's own field, which it gives each new connection's parser; its types do not have it.
    Object.assign(this.#server, { maxHeaderSize });
    this.#server.headersTimeout = timeouts.handshake;
    this.#server.keepAliveTimeout = timeouts.keepAlive;
  }

  /** Resolves with the port once connections are accepted (0 for a Unix socket). */
  async listen(address: ListenAddress): Promise<number> {
    if (address.kind === "unix") {
      this.#unixSocket = await listenFor(this.#server, address.path);
      if (!address.isHeldBack) await this.publish();
      return 0;
    }
    const { host, port, reusePort } = address;
    this.#server.listen({ port, reusePort, backlog: BACKLOG, ...(host === "" ? {} : { host }) });
    await once(this.#server, "listening");
    const bound = this.#server.address();
    return bound !== null && typeof bound === "object" ? bound.port : 0;
  }

  /** Gives a Unix socket its path; of others it is nothing. */
  async publish(): Promise<void> {
    await this.#unixSocket?.publish();
  }

  /** Accepts no more; every connection goes on, also one that has not sent its request yet. */
  async stopAccepting(): Promise<void> {
    await this.#unixSocket?.remove();
    // An HTTP server's own `close` cuts those that have not.
    net.Server.prototype.close.call(this.#server);
  }

  /** Accepts no more; connections without a request are closed, the others go on. */
  async close(): Promise<void> {
    await this.#unixSocket?.remove();
    // A callback would wait for every connection; accepting ends at once.
    this.#server.close();
    this.#entrance.close();
    this.#server.closeIdleConnections();
  }

  /** Cuts every connection that is not an upgrade's, whatever it waits for. */
  destroyAll(): void {
    this.#server.closeAllConnections();
  }

  /** The server reads a socket as HTTP once the entrance lets it pass. */
  #putEntranceBefore(): Entrance {
    const serve = this.#server.listeners("connection");
    this.#server.removeAllListeners("connection");
    const { reporter, sockets } = this.#options;
    const onPassed = (socket: net.Socket, accepted: net.Socket): void => {
      if (socket !== accepted) {
        socket.on("error", ignoreError);
        sockets.replace(accepted, socket);
      }
      for (const listener of serve) Reflect.apply(listener, this.#server, [socket]);
    };
    const entrance = new Entrance({ reporter, onPassed });
    this.#server.on("connection", (socket: net.Socket) => {
      sockets.enter(socket);
      entrance.enter(socket);
    });
    return entrance;
  }

  #onRequest(request: http.IncomingMessage, response: http.ServerResponse): void {
    const { socket } = request;
    const { sockets } = this.#options;
    sockets.onRequest(socket);
    const unanswered = this.#unanswered.get(socket) ?? new Set();
    this.#unanswered.set(socket, unanswered.add(response));
    response.on("close", () => {
      unanswered.delete(response);
      if (unanswered.size > 0) return;
      if (this.#entrance.isOutdated(socket)) socket.end();
      else sockets.onAnswered(socket);
    });
    if (unanswered.size > MAX_UNANSWERED) return this.#refuseFlood(socket);
    // Node waits until those before it are answered.
    if (this.#entrance.isOutdated(socket)) {
      this.#tellOutdated(socket);
      return void response.destroy();
    }
    this.#options.onRequest(request, response);
  }

  #cutOutdated(): void {
    const clients = this.#options.sockets.cut((socket) => this.#entrance.isOutdated(socket));
    if (clients > 0)
      this.#options.reporter.log("info", "idle clients cut: they would have to show more now", { clients });
  }

  #tellOutdated(socket: net.Socket): void {
    this.#options.reporter.log("info", "client cut: what it has shown lets nobody in any more", {
      address: addressOf(socket),
    });
  }

  /** An upgrade on it is not served: by what it has shown it would not get in today. */
  #cutOff(socket: net.Socket): void {
    this.#tellOutdated(socket);
    const destroy = (): void => void socket.destroy();
    this.#inTurn(socket, { first: destroy, behind: destroy });
  }

  /** A few bytes make a request, and each costs a turn at the backend: who sends them by the hundred is cut off. */
  #refuseFlood(socket: net.Socket): void {
    if (socket.destroyed) return;
    const message = `more than ${MAX_UNANSWERED} requests wait for their answers`;
    this.#options.reporter.bytesRefused(new Refusal("bad_request", { message }), socket.remoteAddress);
    socket.destroy();
  }

  /** An answer that is still on its way would land inside what follows it: it is let finish. */
  #inTurn(socket: net.Socket, then: { readonly first: () => void; readonly behind: () => void }): void {
    const unanswered = this.#unanswered.get(socket);
    const newest = [...(unanswered ?? [])].at(-1);
    if (unanswered === undefined || newest === undefined) return then.first();
    // Node has let go of the socket, and tells its answers no more that they may go on.
    socket.on("drain", () => unanswered.forEach((response) => response.emit("drain")));
    newest.on("close", then.behind);
  }

  #refusePipelined(request: http.IncomingMessage, socket: net.Socket): void {
    const refusal = new Refusal("bad_upgrade", { message: "an earlier request was not answered yet" });
    this.#options.reporter.upgradeRefused(refusal, request, { pool: null, address: addressOf(socket) });
    refuseUpgrade(request, socket, refusal);
    this.#options.sockets.onRefused(socket);
  }

  #refuseTunnel(socket: net.Socket): void {
    const refusal = new Refusal("bad_request", { message: "CONNECT is not served" });
    this.#options.reporter.bytesRefused(refusal, addressOf(socket));
    this.#refuseBytes(socket, refusal);
  }

  #refuseBytes(socket: net.Socket, refusal: Refusal): void {
    refuseBytes(socket, refusal);
    this.#options.sockets.onRefused(socket);
  }

  #onClientError(error: NodeJS.ErrnoException, socket: net.Socket): void {
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    this.#options.sockets.onRequest(socket);
    const refusal = new Refusal(codeOf(error), { cause: error });
    this.#options.reporter.bytesRefused(refusal, addressOf(socket));
    // Bytes behind a request that is being answered: an answer of ours would tear that one apart.
    const isAnswering = [...(this.#unanswered.get(socket) ?? [])].some(({ headersSent }) => headersSent);
    if (isAnswering) socket.destroy();
    else this.#refuseBytes(socket, refusal);
  }
}

/**
 * The socket that an upgrade came on. While the request's body is still coming, Node hands out a
 * stand-in for it, which would let the body pass first; such an upgrade is refused all the same.
 */
function socketOf(request: http.IncomingMessage, stream: Duplex): net.Socket {
  if (stream !== request.socket) stream.on("error", ignoreError);
  request.socket.setTimeout(0);
  return request.socket;
}

function codeOf(error: NodeJS.ErrnoException): ErrorCode {
  if (error.code === "HPE_HEADER_OVERFLOW") return "head_too_large";
  if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") return "head_timeout";
  return "bad_request";
}
