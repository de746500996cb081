// Refuses an upgrade by accepting it and closing it at once: a browser's script can read a close code,
// but neither the status nor the body of an HTTP answer.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { WebSocketServer } from "ws";
import type { Refusal } from "../errors.ts";
import { TOKEN_PROTOCOL, withoutTokenProtocols } from "./credentials/token-places.ts";

const options = { noServer: true, clientTracking: false, perMessageDeflate: false } as const;

/** Selects the client's first subprotocol: a browser reports 1006 where it offered some and got none. */
const server = new WebSocketServer(options);

/** The same, but for a token and the subprotocol before it, unless there is no other. */
const tokenServer = new WebSocketServer({
  ...options,
  handleProtocols: (offered) => withoutTokenProtocols([...offered])[0] ?? TOKEN_PROTOCOL,
});

export interface CloseRefusal {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What the client has sent behind its upgrade. */
  readonly head: Buffer;
  readonly refusal: Refusal;
  /** How long the client has to answer the Close. */
  readonly closeTimeoutMs: number;
  /** Whether a token may be among the client's subprotocols. */
  readonly hasTokenProtocols: boolean;
}

/** The upgrade must be a valid one; its refusal must have a close code. */
export function refuseByClose(options: CloseRefusal): void {
  const { request, socket, head, refusal, closeTimeoutMs, hasTokenProtocols } = options;
  (hasTokenProtocols ? tokenServer : server).handleUpgrade(request, socket, head, (webSocket) => {
    const timer = setTimeout(() => webSocket.terminate(), closeTimeoutMs);
    webSocket.on("close", () => clearTimeout(timer));
    // What else the client does is no news of a client that was refused.
    webSocket.on("error", () => webSocket.terminate());
    webSocket.close(refusal.closeCode ?? undefined, refusal.code);
  });
}
