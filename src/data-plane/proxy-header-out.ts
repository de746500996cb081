// The PROXY header that tells a backend of the client, where the backend expects one.

import type { Socket } from "node:net";
import { buildProxyHeader, type ProxiedEnds } from "../proxy-protocol.ts";
import { plainAddress } from "./client-address.ts";
import type { DialTarget } from "./dial-target.ts";
import type { ClientPlace } from "./identify.ts";
import { localPortOf, proxiedEndsOf } from "./socket-ends.ts";

/** Null for a backend that expects none. */
export function proxyHeaderFor(
  { config }: Pick<DialTarget, "config">,
  client: ClientPlace,
  socket: Socket,
): Buffer | null {
  return config.proxyProtocol ? buildProxyHeader(endsOf(client, socket)) : null;
}

/** Null for a client without an address: the backend is told of a connection of our own. */
function endsOf({ address, peer }: ClientPlace, socket: Socket): ProxiedEnds | null {
  if (address === "") return null;
  const proxied = proxiedEndsOf(socket);
  // Of a client that a header has named, nobody knows the port.
  const sourcePort = address === peer ? (proxied?.sourcePort ?? socket.remotePort ?? 0) : 0;
  const unknown = address.includes(":") ? "::" : "0.0.0.0";
  const destination = proxied?.destinationAddress ?? socket.localAddress ?? unknown;
  return {
    sourceAddress: address,
    sourcePort,
    destinationAddress: plainAddress(destination),
    destinationPort: localPortOf(socket),
  };
}
