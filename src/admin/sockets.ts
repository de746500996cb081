// The WebSockets of the admin server: which path is which, how many may be open, and their end with the server.

import type http from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { tokenProtocol } from "./access.ts";
import { type Answer, refusal, sendBare } from "./answer.ts";
import { ApiError, type Endpoint } from "./api/endpoint.ts";

export interface SocketEndpoint {
  readonly path: string;
  /** Open at once at most: they cost memory, and each of them work. */
  readonly max: number;
  /** Returns what an open socket is handed to. Throws ApiError where the query asks for nothing that is. */
  readonly prepare: (url: URL) => (socket: WebSocket) => void;
  /** Its client hears 101 when this resolves, and until then nothing at all. Must not reject. */
  readonly untilReady?: () => Promise<void>;
}

interface Upgrade {
  readonly request: http.IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly url: URL;
}

/** Clients only listen; what they say is thrown away. */
const MAX_MESSAGE_BYTES = 1_024;

export class Sockets {
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (offered) => tokenProtocol(offered) ?? false,
  });
  /** With those that are open, by path. */
  readonly #endpoints = new Map<
    string,
    { readonly endpoint: SocketEndpoint; readonly open: Set<WebSocket> }
  >();

  constructor(endpoints: readonly SocketEndpoint[]) {
    for (const endpoint of endpoints) this.#endpoints.set(endpoint.path, { endpoint, open: new Set() });
    this.#server.on("wsClientError", (error, socket, request) =>
      sendBare(request, socket, refusal(400, "bad_upgrade", error.message.toLowerCase())),
    );
  }

  /** What plain requests for these paths are told. */
  get plainEndpoints(): Endpoint[] {
    return Array.from(this.#endpoints.keys(), (path) => ({
      method: "GET",
      path,
      answer: () => {
        throw new ApiError(426, "upgrade_required", "only WebSockets are served here", {
          Upgrade: "websocket",
        });
      },
    }));
  }

  /** Null: the socket is taken care of; else how the upgrade is to be answered. */
  accept({ request, socket, head, url }: Upgrade): Answer | null {
    const found = this.#endpoints.get(url.pathname);
    if (found === undefined) return refusal(404, "not_found", "no such endpoint");
    const { endpoint, open } = found;
    const full = refusal(
      503,
      "too_many",
      `${endpoint.max} of these are open, which is the most there may be`,
    );
    if (open.size >= endpoint.max) return full;
    try {
      const onOpen = endpoint.prepare(url);
      if (endpoint.untilReady !== undefined) socket.cork();
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        open.add(webSocket);
        webSocket.on("close", () => open.delete(webSocket));
        // A broken frame or a cut socket: the close that follows is what counts.
        webSocket.on("error", () => webSocket.terminate());
        onOpen(webSocket);
        void endpoint.untilReady?.().then(() => socket.uncork());
      });
      return null;
    } catch (error) {
      if (error instanceof ApiError) return refusal(error.status, error.code, error.message);
      throw error;
    }
  }

  /** Ends all of them. */
  close(): void {
    for (const { open } of this.#endpoints.values()) {
      for (const webSocket of open) {
        webSocket.close(1001, "server shutting down");
        webSocket.terminate();
      }
    }
  }
}
