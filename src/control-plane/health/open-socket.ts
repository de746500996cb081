// The socket of a health check: to the backend's addresses in turn, with TLS as the relay does it.

import net from "node:net";
import tls from "node:tls";
import { connectToBackend } from "../../backend-socket.ts";
import { tlsOptions } from "../../backend-tls.ts";
import { buildProxyHeader } from "../../proxy-protocol.ts";
import type { BackendConfig } from "../../config/schema.ts";
import type { HealthCheckConfig } from "../../config/schema-health.ts";

/** What a check needs to know of a backend. */
export interface CheckTarget {
  readonly check: HealthCheckConfig;
  readonly config: BackendConfig;
  /** In the order to try; null: the system resolves the name. */
  readonly addresses: readonly string[] | null;
  /** Null without TLS; an Error where its files cannot be used. */
  readonly secureContext: tls.SecureContext | Error | null;
}

/** Begins to connect; `untilConnected` says when that is done. Throws where the backend's TLS files cannot be used. */
export function openSocket({ check, config, addresses, secureContext }: CheckTarget): net.Socket {
  if (secureContext instanceof Error) throw secureContext;
  const { host, port, socketPath, secure } = config.target;
  const options =
    socketPath === null
      ? {
          host,
          port: check.port ?? port,
          noDelay: true,
          ...(addresses === null ? {} : tryingAll(addresses, check.timeout)),
        }
      : { path: socketPath };
  return connectToBackend({
    place: options,
    secure: secure ? tlsOptions({ config, secureContext }) : null,
    proxyHeader: config.proxyProtocol ? LOCAL_HEADER : null,
  });
}

/** A check speaks for no client. */
const LOCAL_HEADER = buildProxyHeader(null);

/** Node tries what the lookup gives, in order, families taking turns (RFC 8305 §4). */
function tryingAll(addresses: readonly string[], timeoutMs: number): Partial<net.TcpNetConnectOpts> {
  const found = addresses.map((address) => ({ address, family: net.isIP(address) }));
  return {
    lookup: (_host, _options, callback) => callback(null, found),
    autoSelectFamily: true,
    // An address that does not answer leaves time for the others.
    autoSelectFamilyAttemptTimeout: Math.max(MIN_ATTEMPT_MS, Math.floor(timeoutMs / found.length)),
  };
}

/** Node takes no less. */
const MIN_ATTEMPT_MS = 10;

/** Rejects with what is wrong. The socket is never without a listener for its errors after this. */
export async function untilConnected(socket: net.Socket, { config }: CheckTarget): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("the backend closed the connection")));
  socket.once(config.target.secure ? "secureConnect" : "connect", () => resolve());
  await promise;
  if (isSelfConnected(socket)) throw new Error("nobody listens there: the socket was connected to itself");
}

/** On loopback the system may give a dial the very port that it dials, and TCP connects it to itself. */
function isSelfConnected({ localAddress, localPort, remoteAddress, remotePort }: net.Socket): boolean {
  return localPort !== undefined && localPort === remotePort && localAddress === remoteAddress;
}
