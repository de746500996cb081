// One health check of a backend: a connect, an HTTP request, or a WebSocket.

import type { Socket } from "node:net";
import { checkHttp } from "./http-check.ts";
import { type CheckTarget, openSocket, untilConnected } from "./open-socket.ts";
import { checkWebSocket } from "./websocket-check.ts";

/**
 * Resolves where the backend is well, and rejects with what is wrong where it is not. It leaves no socket
 * behind; `signal` ends it at any time.
 */
export async function runCheck(target: CheckTarget, signal: AbortSignal): Promise<void> {
  const socket = openSocket(target);
  const destroy = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener("abort", destroy);
  let isEnding = false;
  try {
    await untilConnected(socket, target);
    isEnding = await check(target, socket, signal);
  } finally {
    signal.removeEventListener("abort", destroy);
    // Not `destroy`: a TLS backend is told the end, and has no broken connection to log.
    if (!isEnding) socket.destroySoon();
  }
}

/** Resolves where it has passed; true: the end of the socket is on its way. */
async function check(target: CheckTarget, socket: Socket, signal: AbortSignal): Promise<boolean> {
  switch (target.check.type) {
    case "tcp":
      return false;
    case "http":
      await checkHttp(target, socket, signal);
      return false;
    case "websocket":
      await checkWebSocket(target, socket, signal);
      return true;
    default:
      return target.check.type satisfies never;
  }
}
