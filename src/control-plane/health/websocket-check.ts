// A health check by a WebSocket: the opening handshake, a Ping and its Pong, and a Close.

import { randomBytes } from "node:crypto";
import type net from "node:net";
import { WebSocket } from "ws";
import { checkHeaders, checkUrl } from "./check-request.ts";
import type { CheckTarget } from "./open-socket.ts";

/** What the backend says by itself is thrown away; one message is held whole until then. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

/** For the backend's own Close, on which nothing hangs. */
const CLOSE_TIMEOUT_MS = 250;

/** Rejects with what is wrong. */
export async function checkWebSocket(
  target: CheckTarget,
  socket: net.Socket,
  signal: AbortSignal,
): Promise<void> {
  const webSocket = new WebSocket(checkUrl(target), [...target.check.subprotocols], {
    createConnection: () => socket,
    headers: checkHeaders(target),
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  try {
    await untilPong(webSocket, signal);
  } catch (error) {
    webSocket.terminate();
    throw error;
  }
  sayGoodbye(webSocket);
}

/** The check has passed: the backend's own Close is a courtesy, waited for apart from it. */
function sayGoodbye(webSocket: WebSocket): void {
  const timer = setTimeout(() => webSocket.terminate(), CLOSE_TIMEOUT_MS);
  webSocket.once("close", () => clearTimeout(timer));
  webSocket.close(1000, "health check");
}

function untilPong(webSocket: WebSocket, signal: AbortSignal): Promise<void> {
  const payload = randomBytes(8);
  return new Promise((resolve, reject) => {
    webSocket.on("error", reject);
    webSocket.on("open", () => webSocket.ping(payload));
    // A Pong that answers no Ping of ours says nothing (RFC 6455 §5.5.3).
    webSocket.on("pong", (data: Buffer) => {
      if (data.equals(payload)) resolve();
    });
    webSocket.on("close", (code: number) => {
      reject(signal.aborted ? signal.reason : new Error(`closed with ${code} before its pong`));
    });
  });
}
