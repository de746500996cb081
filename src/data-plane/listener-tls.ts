// Ends the TLS of one listener's clients, as one version of the configuration has it. Handshakes that it
// has begun go on when another version takes its place.

import type { Socket } from "node:net";
import tls from "node:tls";
import type { ListenerTlsConfig } from "../config/schema-listeners.ts";
import { judgeCertificate } from "./client-certificate.ts";
import type { ServedCertificates } from "./server-contexts.ts";

/** Node's word for another handshake on a socket that is open. */
const RENEGOTIATION = "ERR_TLS_RENEGOTIATION_DISABLED";

/** What its sockets come to. */
interface ListenerTlsEvents {
  /** The handshake is over, and the client has shown what certificate it must. */
  secured(socket: tls.TLSSocket): void;
  /**
   * The handshake, or the client has begun another one on its socket.
   * @param reason in a word; null where the client just left
   */
  failed(socket: tls.TLSSocket, reason: string | null): void;
}

export interface ListenerTlsOptions {
  readonly config: ListenerTlsConfig;
  readonly certificates: ServedCertificates;
  /** Shared by all threads, so that a session can be resumed whichever of them accepts. */
  readonly ticketKeys: Buffer;
  /** Milliseconds that a handshake may take. */
  readonly handshakeTimeoutMs: number;
}

export class ListenerTls {
  /** As its certificates have it. */
  readonly policy: string;
  readonly #server: tls.Server;
  readonly #clientCert: ListenerTlsConfig["clientCert"];
  /** For all sockets alike, so that none carries a closure of its own through its life. */
  readonly #onError: (this: tls.TLSSocket, error: NodeJS.ErrnoException) => void;
  #events: ListenerTlsEvents | null = null;

  constructor({ config, certificates, ticketKeys, handshakeTimeoutMs }: ListenerTlsOptions) {
    this.policy = certificates.policy;
    this.#clientCert = config.clientCert;
    this.#server = tls.createServer({
      ...certificates.fallback,
      SNICallback: (name, callback) => callback(null, certificates.find(name)),
      ALPNProtocols: ["http/1.1"],
      requestCert: config.clientCert !== "off",
      // Tells a client without one so; what it shows is judged below.
      rejectUnauthorized: config.clientCert === "required",
      handshakeTimeout: handshakeTimeoutMs,
      ticketKeys,
    });
    const onRenegotiation = (socket: tls.TLSSocket): void => this.#onRenegotiation(socket);
    this.#onError = function (error): void {
      if (error.code === RENEGOTIATION) onRenegotiation(this);
    };
    this.#server.on("secureConnection", (socket) => this.#onSecured(socket));
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      socket.destroy();
      this.#events?.failed(socket, reasonOf(error, socket));
    });
  }

  /** Who is told of what comes of the sockets. */
  observe(events: ListenerTlsEvents): void {
    this.#events = events;
  }

  /** Begins the handshake; what the client has sent already may have been put back. */
  secure(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Tickets are made with these from now on; of older ones Node knows none, and their clients begin anew. */
  setTicketKeys(keys: Buffer): void {
    this.#server.setTicketKeys(keys);
  }

  #onSecured(socket: tls.TLSSocket): void {
    socket.on("error", this.#onError);
    // OpenSSL could be told to decline instead, but then writes an answer to each attempt, read or not.
    socket.disableRenegotiation();
    const fault = judgeCertificate(socket, this.#clientCert, Date.now());
    if (fault === null) return this.#events?.secured(socket);
    socket.destroy();
    this.#events?.failed(socket, fault);
  }

  /** It could show another certificate than the one that was judged. */
  #onRenegotiation(socket: tls.TLSSocket): void {
    this.#events?.failed(socket, RENEGOTIATION);
    socket.destroy();
  }
}

function reasonOf(error: NodeJS.ErrnoException, { authorizationError }: tls.TLSSocket): string | null {
  // Node hides what was wrong with a certificate behind the end that it made because of it.
  if (authorizationError) return String(authorizationError);
  return error.code === "ECONNRESET" ? null : (error.code ?? error.message);
}
