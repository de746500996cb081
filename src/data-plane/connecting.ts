// The one place that opens sockets to backends, for upgrades and plain requests alike: a name's addresses,
// our own source addresses, TLS, and one time limit for all of it.

import dns from "node:dns";
import net from "node:net";
import tls from "node:tls";
import { connectToBackend } from "../backend-socket.ts";
import { tlsOptions } from "../backend-tls.ts";
import type { BackendConfig, PoolConfig } from "../config/schema.ts";
import { connectFailure, DialFailure } from "./dial-failure.ts";
import { ignoreError } from "./ignore-error.ts";
import { countSocket } from "./open-sockets.ts";
import type { LocalEnds, SourceAddresses } from "./source-addresses.ts";

/** What connecting has to know of a backend. */
export interface ConnectTarget {
  readonly config: BackendConfig;
  readonly pool: PoolConfig;
  /** Null for a backend without TLS. */
  readonly secureContext: tls.SecureContext | null;
  readonly sources: SourceAddresses;
  /** The TLS session of the last handshake, which makes the next one cheaper. */
  readonly session: Buffer | undefined;
  readonly keepSession: (session: Buffer) => void;
}

export interface ConnectOptions {
  readonly target: ConnectTarget;
  /** IP addresses of its name, in the order to try; null: not known, or not needed. */
  readonly addresses: readonly string[] | null;
  /** The PROXY header that goes ahead of everything, TLS included; null for none. */
  readonly proxyHeader: Buffer | null;
  /** Whether our half of the socket outlives the backend's. */
  readonly allowHalfOpen: boolean;
}

export interface ConnectEvents {
  /** It can carry a request, and is the receiver's from here on; somebody listens to its errors. */
  connected(socket: net.Socket, address: string): void;
  failed(failure: DialFailure): void;
}

/** An address that has not answered by then gets company (RFC 8305 §5). */
const NEXT_ADDRESS_DELAY_MS = 250;

export class Connecting {
  readonly #options: ConnectOptions;
  readonly #events: ConnectEvents;
  readonly #timeout: NodeJS.Timeout;
  readonly #attempts = new Set<Attempt>();
  /** Those that have not been tried. */
  #addresses: readonly string[] = [];
  #nextTimer: NodeJS.Timeout | null = null;
  #failure: DialFailure | null = null;
  #isOver = false;

  /** Begins at once; the events come later. */
  constructor(options: ConnectOptions, events: ConnectEvents) {
    this.#options = options;
    this.#events = events;
    const { target, addresses } = options;
    const { host, socketPath } = target.config.target;
    this.#timeout = setTimeout(
      () => this.#fail(new DialFailure("timeout", "the backend did not accept the connection in time")),
      target.pool.connectTimeout,
    );
    if (socketPath !== null || net.isIP(host) !== 0) this.#start([host]);
    else if (addresses !== null && addresses.length > 0) this.#start(addresses);
    else this.#lookUp(host);
  }

  /** Gives it up without a word. */
  abort(): void {
    this.#isOver = true;
    clearTimeout(this.#timeout);
    if (this.#nextTimer !== null) clearTimeout(this.#nextTimer);
    for (const attempt of this.#attempts) attempt.destroy();
  }

  #lookUp(host: string): void {
    dns.lookup(host, { all: true, hints: dns.ADDRCONFIG }, (error, found) => {
      if (this.#isOver) return;
      if (error === null) this.#start(found.map(({ address }) => address));
      else this.#fail(connectFailure(error));
    });
  }

  #start(addresses: readonly string[]): void {
    this.#addresses = addresses;
    this.#tryNext();
  }

  #tryNext(): void {
    if (this.#nextTimer !== null) clearTimeout(this.#nextTimer);
    const [address, ...others] = this.#addresses;
    if (address === undefined) return;
    this.#addresses = others;
    if (others.length > 0) this.#nextTimer = setTimeout(() => this.#tryNext(), NEXT_ADDRESS_DELAY_MS);
    const attempt = new Attempt(this.#options, address, {
      connected: (socket) => this.#succeed(attempt, socket),
      failed: (error) => this.#onFailed(attempt, error),
    });
    this.#attempts.add(attempt);
  }

  #succeed(attempt: Attempt, socket: net.Socket): void {
    this.#attempts.delete(attempt);
    this.abort();
    this.#events.connected(socket, attempt.address);
  }

  #onFailed(attempt: Attempt, error: NodeJS.ErrnoException): void {
    this.#attempts.delete(attempt);
    const failure = connectFailure(error);
    // What the backend did wrong says more than what we lacked for another of its addresses.
    if (this.#failure === null || failure.fault !== null) this.#failure = failure;
    if (this.#addresses.length > 0) this.#tryNext();
    else if (this.#attempts.size === 0) this.#fail(this.#failure);
  }

  #fail(failure: DialFailure): void {
    this.abort();
    this.#events.failed(failure);
  }
}

interface AttemptEvents {
  connected(socket: net.Socket): void;
  failed(error: NodeJS.ErrnoException): void;
}

/** One address, from one local end after another until one is free. */
class Attempt {
  readonly address: string;
  readonly #options: ConnectOptions;
  readonly #events: AttemptEvents;
  readonly #ends: LocalEnds | null;
  #socket: net.Socket;
  #error: NodeJS.ErrnoException = new Error("the socket was closed");

  constructor(options: ConnectOptions, address: string, events: AttemptEvents) {
    this.address = address;
    this.#options = options;
    this.#events = events;
    this.#ends = options.target.sources.endsFor(address);
    this.#socket = this.#open();
  }

  destroy(): void {
    this.#letGo();
    this.#socket.destroy();
  }

  #open(): net.Socket {
    const socket = openSocket(this.#options, this.address, this.#ends);
    countSocket(socket);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    socket.on(this.#readyEvent, this.#onReady);
    return socket;
  }

  get #readyEvent(): "secureConnect" | "connect" {
    return this.#options.target.config.target.secure ? "secureConnect" : "connect";
  }

  readonly #onReady = (): void => {
    this.#letGo();
    this.#events.connected(this.#socket);
  };

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#error = error;
  };

  readonly #onClose = (): void => {
    this.#letGo();
    if (this.#ends?.advance(this.#error) === true) this.#socket = this.#open();
    else this.#events.failed(this.#error);
  };

  #letGo(): void {
    const socket = this.#socket;
    socket.on("error", ignoreError);
    socket.off("error", this.#onError);
    socket.off("close", this.#onClose);
    socket.off(this.#readyEvent, this.#onReady);
  }
}

function openSocket(
  { target, proxyHeader, allowHalfOpen }: ConnectOptions,
  address: string,
  ends: LocalEnds | null,
): net.Socket {
  const { port, socketPath, secure } = target.config.target;
  const place = socketPath === null ? { host: address, port, ...ends?.current } : { path: socketPath };
  const options = { ...place, allowHalfOpen, noDelay: true };
  if (!secure) return connectToBackend({ place: options, secure: null, proxyHeader });
  const session = target.session === undefined ? {} : { session: target.session };
  const socket = connectToBackend({
    place: options,
    secure: { ...tlsOptions(target), ...session },
    proxyHeader,
  });
  socket.on("session", target.keepSession);
  return socket;
}
