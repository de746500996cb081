// Writes the 101 to the client: the backend's own answer, hop-by-hop lines made ours.

import type { Socket } from "node:net";
import { joinedHeader } from "../ws/handshake.ts";
import { answerHeaders } from "./answer-headers.ts";

/**
 * @param rawHeaders of the backend's 101, already verified
 * @param setCookie value of a `Set-Cookie` line of our own; null for none
 */
export function writeSwitchingProtocols(
  socket: Socket,
  rawHeaders: readonly string[],
  setCookie: string | null,
): void {
  let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
  const headers = answerHeaders({ statusCode: 101, rawHeaders }, setCookie);
  for (let i = 0; i + 1 < headers.length; i += 2) {
    head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  }
  socket.write(`${head}\r\n`, "latin1");
}

/**
 * The answer with this subprotocol where the backend has selected none: a browser that has offered some ends
 * the connection unless it gets one.
 */
export function withProtocol(rawHeaders: readonly string[], protocol: string | null): readonly string[] {
  if (protocol === null || joinedHeader(rawHeaders, "sec-websocket-protocol") !== undefined)
    return rawHeaders;
  return [...rawHeaders, "Sec-WebSocket-Protocol", protocol];
}
