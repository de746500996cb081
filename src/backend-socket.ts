// Opens sockets to backends, for both planes: what goes ahead of the first byte that is meant for them.

import net from "node:net";
import tls from "node:tls";

export interface BackendSocketOptions {
  /** Where to, and from where. */
  readonly place: net.NetConnectOpts;
  /** Null without TLS. */
  readonly secure: tls.ConnectionOptions | null;
  /** Comes before TLS; null for none. */
  readonly proxyHeader: Buffer | null;
}

/** Begins to connect. The socket emits `connect`, or with TLS `secureConnect`; its errors are the caller's. */
export function connectToBackend({ place, secure, proxyHeader }: BackendSocketOptions): net.Socket {
  if (secure === null) return announced(net.connect(place), proxyHeader);
  if (proxyHeader === null) return tls.connect({ ...place, ...secure });
  const beneath = announced(net.connect(place), proxyHeader);
  // They are told on the TLS socket, too.
  beneath.on("error", () => {});
  const socket = tls.connect({ ...secure, socket: beneath });
  socket.on("close", () => beneath.destroy());
  return socket;
}

/** What is written before the connection is there stands ahead of what is written on it later. */
function announced(socket: net.Socket, proxyHeader: Buffer | null): net.Socket {
  if (proxyHeader !== null) socket.write(proxyHeader);
  return socket;
}
