// Refuses an upgrade by accepting it and closing it at once: a browser's script can read a close code,
// but neither the status nor the body of an HTTP answer.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { WebSocketServer } from "ws";
import type { Refusal } from "../errors.ts";

/** Selects the client's first subprotocol: a browser reports 1006 where it offered some and got none. */
const server = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false });

export interface CloseRefusal {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What the client has sent behind its upgrade. */
  readonly head: Buffer;
  readonly refusal: Refusal;
  /** How long the client has to answer the Close. */
  readonly closeTimeoutMs: number;
}

/** The upgrade must be a valid one; its refusal must have a close code. */
export function refuseByClose({ request, socket, head, refusal, closeTimeoutMs }: CloseRefusal): void {
  server.handleUpgrade(request, socket, head, (webSocket) => {
    const timer = setTimeout(() => webSocket.terminate(), closeTimeoutMs);
    webSocket.on("close", () => clearTimeout(timer));
    // What else the client does is no news of a client that was refused.
    webSocket.on("error", () => webSocket.terminate());
    webSocket.close(refusal.closeCode ?? undefined, refusal.code);
  });
}
