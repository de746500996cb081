// Ends the TLS of one listener's clients, as one version of the configuration has it. Handshakes that it
// has begun go on when another version takes its place.

import type { Socket } from "node:net";
import tls from "node:tls";
import type { ListenerTlsConfig } from "../config/schema-listeners.ts";
import { judgeCertificate } from "./client-certificate.ts";
import { ignoreError } from "./ignore-error.ts";
import type { ServedCertificates } from "./server-contexts.ts";

/** What its sockets come to. */
interface ListenerTlsEvents {
  /** The handshake is over, and the client has shown what certificate it must. */
  secured(socket: tls.TLSSocket): void;
  /** @param reason in a word; null where the client just left */
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
  readonly #server: tls.Server;
  readonly #clientCert: ListenerTlsConfig["clientCert"];
  #events: ListenerTlsEvents | null = null;

  constructor({ config, certificates, ticketKeys, handshakeTimeoutMs }: ListenerTlsOptions) {
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
    socket.on("error", ignoreError);
    const fault = judgeCertificate(socket, this.#clientCert);
    if (fault === null) return this.#events?.secured(socket);
    socket.destroy();
    this.#events?.failed(socket, fault);
  }
}

function reasonOf(error: NodeJS.ErrnoException, { authorizationError }: tls.TLSSocket): string | null {
  // Node hides what was wrong with a certificate behind the end that it made because of it.
  if (authorizationError) return String(authorizationError);
  return error.code === "ECONNRESET" ? null : (error.code ?? error.message);
}
