// What a client's socket has to pass before its bytes are read as HTTP: the TLS handshake, where its
// listener has TLS. Owns the socket until then.

import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { ignoreError } from "./ignore-error.ts";
import type { ListenerTls } from "./listener-tls.ts";
import type { Reporter } from "./reporter.ts";

interface EntranceOptions {
  readonly reporter: Reporter;
  /** The socket is the receiver's from here on; with TLS it is another one than was accepted. */
  readonly onPassed: (socket: Socket, accepted: Socket) => void;
}

export class Entrance {
  readonly #options: EntranceOptions;
  /** Those that have not passed. */
  readonly #sockets = new Set<Socket>();
  /** For all sockets alike, so that none carries a closure of its own through its life. */
  readonly #onClosed: (this: Socket) => void;
  #tls: ListenerTls | null = null;

  constructor(options: EntranceOptions) {
    this.#options = options;
    const sockets = this.#sockets;
    this.#onClosed = function (): void {
      sockets.delete(this);
    };
  }

  /** For sockets from now on; null: without TLS. */
  configure(tls: ListenerTls | null): void {
    this.#tls = tls;
    tls?.observe({
      secured: (socket) => this.#onSecured(socket),
      failed: ({ remoteAddress: address }, reason) => {
        const { reporter } = this.#options;
        if (reason === null) reporter.log("debug", "client left in its TLS handshake", { address });
        else reporter.log("info", "TLS handshake failed", { address, reason });
      },
    });
  }

  enter(socket: Socket): void {
    socket.on("error", ignoreError);
    if (this.#tls === null) return this.#options.onPassed(socket, socket);
    this.#sockets.add(socket);
    socket.on("close", this.#onClosed);
    this.#tls.secure(socket);
  }

  /** Those that have not passed are cut. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #onSecured(socket: TLSSocket): void {
    const accepted = socketBeneath(socket);
    if (this.#sockets.delete(accepted)) accepted.off("close", this.#onClosed);
    this.#options.onPassed(socket, accepted);
  }
}

/** The socket that the client's bytes come on; Node's types do not know of it. */
function socketBeneath(socket: TLSSocket): Socket {
  const beneath: unknown = Reflect.get(socket, "_parent");
  if (!(beneath instanceof Socket)) throw new Error("a TLS socket without a socket beneath it");
  return beneath;
}
