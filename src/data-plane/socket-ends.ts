// The ends of a client's socket: its own, or those that a trusted proxy in front has named in a PROXY header.

import type { Socket } from "node:net";
import type { ProxiedEnds } from "../proxy-protocol.ts";

/** Of sockets that came with a header which names a client. */
const proxied = new WeakMap<object, ProxiedEnds>();

export function setProxiedEnds(socket: Socket, ends: ProxiedEnds): void {
  proxied.set(socket, ends);
}

export function proxiedEndsOf(socket: Socket): ProxiedEnds | undefined {
  return proxied.get(socket);
}

/** Undefined on a Unix socket, and once the socket is closed. */
export function remoteAddressOf(socket: Partial<Pick<Socket, "remoteAddress">>): string | undefined {
  return proxied.get(socket)?.sourceAddress ?? socket.remoteAddress;
}

/** The port that the client has reached; 0 on a Unix socket. */
export function localPortOf(socket: Socket): number {
  return proxied.get(socket)?.destinationPort ?? socket.localPort ?? 0;
}
