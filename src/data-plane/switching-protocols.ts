// Writes the 101 to the client: the backend's own answer, hop-by-hop lines made ours.

import type { Socket } from "node:net";
import { isHopByHop, namedInConnection } from "./hop-by-hop.ts";

/** @param rawHeaders of the backend's 101, already verified */
export function writeSwitchingProtocols(socket: Socket, rawHeaders: readonly string[]): void {
  let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  const named = namedInConnection(rawHeaders);
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (isHopByHop(name) || named.has(name.toLowerCase())) continue;
    // A 101 has no body (RFC 9110 §15.2), whatever the backend says of its length.
    if (name.toLowerCase() === "content-length") continue;
    head += `${name}: ${rawHeaders[i + 1]}\r\n`;
  }
  socket.write(`${head}\r\n`, "latin1");
}
