// What a client's socket has to pass before its bytes are read as HTTP, each where its listener has it: the
// PROXY header of the proxy in front, then the TLS handshake. Owns the socket until then, and knows later by what
// it has passed.

import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type AddressBlocks, plainAddress } from "./client-address.ts";
import { hasExpired } from "./client-certificate.ts";
import { ignoreError } from "./ignore-error.ts";
import type { ListenerTls } from "./listener-tls.ts";
import { readProxyHeader } from "./proxy-header.ts";
import type { Reporter } from "./reporter.ts";
import { copyProxiedEnds, remoteAddressOf, setProxiedEnds } from "./socket-ends.ts";

interface EntranceOptions {
  readonly reporter: Pick<Reporter, "log">;
  /** The socket is the receiver's from here on; with TLS it is another one than was accepted. */
  readonly onPassed: (socket: Socket, accepted: Socket) => void;
}

export interface EntranceSettings {
  /** What a socket has to show, in short. Where that changes, what older ones have shown does not count. */
  readonly policy: string;
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
  /** By which policy each has passed. */
  readonly #passed = new WeakMap<Socket, string>();
  #settings: EntranceSettings = { policy: "", tls: null, proxies: null, headerTimeoutMs: 0 };

  constructor(options: EntranceOptions) {
    this.#options = options;
    const sockets = this.#sockets;
    this.#onClosed = function (): void {
      sockets.delete(this);
    };
  }

  get policy(): string {
    return this.#settings.policy;
  }

  /** For sockets from now on. */
  configure(settings: EntranceSettings): void {
    this.#settings = settings;
    settings.tls?.observe({
      secured: (socket) => this.#onSecured(socket, settings),
      failed: (socket, reason) => this.#onHandshakeFailed(socket, reason),
    });
  }

  enter(socket: Socket): void {
    socket.on("error", ignoreError);
    const settings = this.#settings;
    const { tls, proxies } = settings;
    if (tls === null && proxies === null) return this.#pass(socket, socket, settings);
    this.#sockets.add(socket);
    socket.on("close", this.#onClosed);
    if (proxies === null) tls?.secure(socket);
    else this.#expectHeader(socket, proxies, settings);
  }

  /** It has passed, but would not by what it has shown: there are other rules now, or its certificate has ended. */
  isOutdated(socket: Socket): boolean {
    const policy = this.#passed.get(socket);
    return policy !== undefined && (policy !== this.#settings.policy || hasExpired(socket, Date.now()));
  }

  /** It will ask for nothing more. */
  forget(socket: Socket): void {
    this.#passed.delete(socket);
  }

  /** Those that have not passed are cut. */
  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Who is not trusted could claim any address, and one without a header would pass for the proxy itself. */
  #expectHeader(socket: Socket, proxies: AddressBlocks, settings: EntranceSettings): void {
    const { remoteAddress, localAddress } = socket;
    const isOnUnixSocket = remoteAddress === undefined && localAddress === undefined && !socket.destroyed;
    const isTrusted = remoteAddress !== undefined && proxies.has(plainAddress(remoteAddress));
    if (!isTrusted && !isOnUnixSocket) {
      socket.destroy();
      this.#refuse(remoteAddress, "it comes from an address that is not in trustedProxies");
      return;
    }
    readProxyHeader(socket, settings.headerTimeoutMs, {
      read: (ends) => {
        setProxiedEnds(socket, ends);
        if (settings.tls === null) this.#pass(socket, socket, settings);
        else settings.tls.secure(socket);
      },
      failed: (reason) => this.#refuse(remoteAddress, reason),
    });
  }

  #refuse(address: string | undefined, reason: string): void {
    this.#options.reporter.log("info", "PROXY header refused", { address, reason });
  }

  #onSecured(socket: TLSSocket, settings: EntranceSettings): void {
    const accepted = socketBeneath(socket);
    copyProxiedEnds(accepted, socket);
    this.#pass(socket, accepted, settings);
  }

  #onHandshakeFailed(socket: TLSSocket, reason: string | null): void {
    const { reporter } = this.#options;
    const address = remoteAddressOf(socketBeneath(socket)) ?? socket.remoteAddress;
    if (reason === null) reporter.log("debug", "client left in its TLS handshake", { address });
    else reporter.log("info", "TLS handshake failed", { address, reason });
  }

  /** @param settings as they were when it entered: others may be in effect by now */
  #pass(socket: Socket, accepted: Socket, { policy }: EntranceSettings): void {
    const hadToShow = this.#sockets.delete(accepted);
    if (hadToShow) accepted.off("close", this.#onClosed);
    if (policy !== this.#settings.policy) return void socket.destroy();
    this.#passed.set(socket, policy);
    this.#options.onPassed(socket, accepted);
    // A PROXY header has been read off it, after which it was paused.
    if (hadToShow && socket === accepted) socket.resume();
  }
}

/** The socket that the client's bytes come on; Node's types do not know of it. */
function socketBeneath(socket: TLSSocket): Socket {
  const beneath: unknown = Reflect.get(socket, "_parent");
  if (!(beneath instanceof Socket)) throw new Error("a TLS socket without a socket beneath it");
  return beneath;
}
