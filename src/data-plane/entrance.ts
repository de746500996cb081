// What a client's socket has to pass before its bytes are read as HTTP, each where its listener has it: the
// PROXY header of the proxy in front, then the TLS handshake. Owns the socket until then.

import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type AddressBlocks, plainAddress } from "./client-address.ts";
import { ignoreError } from "./ignore-error.ts";
import type { ListenerTls } from "./listener-tls.ts";
import { readProxyHeader } from "./proxy-header.ts";
import type { Reporter } from "./reporter.ts";
import { copyProxiedEnds, remoteAddressOf, setProxiedEnds } from "./socket-ends.ts";

interface EntranceOptions {
  readonly reporter: Reporter;
  /** The socket is the receiver's from here on; with TLS it is another one than was accepted. */
  readonly onPassed: (socket: Socket, accepted: Socket) => void;
}

export interface EntranceSettings {
  /** Null: without TLS. */
  readonly tls: ListenerTls | null;
  /** Who must send a PROXY header; null: nobody may. */
  readonly proxies: AddressBlocks | null;
  /** Milliseconds that a PROXY header may take. */
  readonly headerTimeoutMs: number;
}

export class Entrance {
  readonly #options: EntranceOptions;
  /** Those that have not passed. */
  readonly #sockets = new Set<Socket>();
  /** For all sockets alike, so that none carries a closure of its own through its life. */
  readonly #onClosed: (this: Socket) => void;
  #settings: EntranceSettings = { tls: null, proxies: null, headerTimeoutMs: 0 };

  constructor(options: EntranceOptions) {
    this.#options = options;
    const sockets = this.#sockets;
    this.#onClosed = function (): void {
      sockets.delete(this);
    };
  }

  /** For sockets from now on. */
  configure(settings: EntranceSettings): void {
    this.#settings = settings;
    settings.tls?.observe({
      secured: (socket) => this.#onSecured(socket),
      failed: (socket, reason) => this.#onHandshakeFailed(socket, reason),
    });
  }

  enter(socket: Socket): void {
    socket.on("error", ignoreError);
    const { tls, proxies } = this.#settings;
    if (tls === null && proxies === null) return this.#options.onPassed(socket, socket);
    this.#sockets.add(socket);
    socket.on("close", this.#onClosed);
    if (proxies === null) tls?.secure(socket);
    else this.#expectHeader(socket, proxies);
  }

  /** Those that have not passed are cut. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Who is not trusted could claim any address, and one without a header would pass for the proxy itself. */
  #expectHeader(socket: Socket, proxies: AddressBlocks): void {
    const { remoteAddress, localAddress } = socket;
    const isOnUnixSocket = remoteAddress === undefined && localAddress === undefined && !socket.destroyed;
    const isTrusted = remoteAddress !== undefined && proxies.has(plainAddress(remoteAddress));
    if (!isTrusted && !isOnUnixSocket) {
      socket.destroy();
      this.#refuse(remoteAddress, "it comes from an address that is not in trustedProxies");
      return;
    }
    readProxyHeader(socket, this.#settings.headerTimeoutMs, {
      read: (ends) => {
        setProxiedEnds(socket, ends);
        const { tls } = this.#settings;
        if (tls === null) this.#pass(socket, socket);
        else tls.secure(socket);
      },
      failed: (reason) => this.#refuse(remoteAddress, reason),
    });
  }

  #refuse(address: string | undefined, reason: string): void {
    this.#options.reporter.log("info", "PROXY header refused", { address, reason });
  }

  #onSecured(socket: TLSSocket): void {
    const accepted = socketBeneath(socket);
    copyProxiedEnds(accepted, socket);
    this.#pass(socket, accepted);
  }

  #onHandshakeFailed(socket: TLSSocket, reason: string | null): void {
    const { reporter } = this.#options;
    const address = remoteAddressOf(socketBeneath(socket)) ?? socket.remoteAddress;
    if (reason === null) reporter.log("debug", "client left in its TLS handshake", { address });
    else reporter.log("info", "TLS handshake failed", { address, reason });
  }

  #pass(socket: Socket, accepted: Socket): void {
    if (this.#sockets.delete(accepted)) accepted.off("close", this.#onClosed);
    this.#options.onPassed(socket, accepted);
    // A PROXY header has been read off it, after which it was paused.
    if (socket === accepted) socket.resume();
  }
}

/** The socket that the client's bytes come on; Node's types do not know of it. */
function socketBeneath(socket: TLSSocket): Socket {
  const beneath: unknown = Reflect.get(socket, "_parent");
  if (!(beneath instanceof Socket)) throw new Error("a TLS socket without a socket beneath it");
  return beneath;
}
