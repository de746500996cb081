// The ends of a client's socket: its own, or those that a trusted proxy in front has named in a PROXY header.

import type { Socket } from "node:net";
import type { ProxiedEnds } from "../proxy-protocol.ts";

/** Of sockets that came with a header which names a client. */
const proxied = new WeakMap<object, ProxiedEnds>();

/** Those that came with a header which names none. */
const unnamed = new WeakSet<object>();

/** @param ends as the header names them; null: it names nobody */
export function setProxiedEnds(socket: Socket, ends: ProxiedEnds | null): void {
  if (ends === null) unnamed.add(socket);
  else proxied.set(socket, ends);
}

/** What a header has said of the one holds for the other. */
export function copyProxiedEnds(from: Socket, to: Socket): void {
  const ends = proxied.get(from);
  if (ends !== undefined || unnamed.has(from)) setProxiedEnds(to, ends ?? null);
}

export function proxiedEndsOf(socket: Socket): ProxiedEnds | undefined {
  return proxied.get(socket);
}

/** Behind its peer may be anybody, whatever the peer is. */
export function isUnnamed(socket: object): boolean {
  return unnamed.has(socket);
}

/** Undefined on a Unix socket, and once the socket is closed. */
export function remoteAddressOf(socket: Partial<Pick<Socket, "remoteAddress">>): string | undefined {
  return proxied.get(socket)?.sourceAddress ?? socket.remoteAddress;
}

/** The port that the client has reached; 0 on a Unix socket. */
export function localPortOf(socket: Socket): number {
  return proxied.get(socket)?.destinationPort ?? socket.localPort ?? 0;
}
