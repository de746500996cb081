// Whether a client came by TLS that we ended.

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

export function isSecure(socket: Socket & Partial<Pick<TLSSocket, "encrypted">>): boolean {
  return socket.encrypted === true;
}
