// One of the demo's chat backends: serves the page over plain HTTP and the chat over WebSocket. It
// knows nothing of Weir, as nobody's backend has to.
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";

import { WebSocket, WebSocketServer } from "ws";

import { page } from "./page.ts";

/** Everybody connected to any of the backends; a real chat would have a message bus here. */
export type Room = Set<WebSocket>;

export interface DemoBackend {
  readonly url: string;
  close(): Promise<void>;
}

/** What the page asks for. A text that is no such object is chat from someone without a name. */
interface Request {
  /** `chat` goes to all, `echo` back to the sender, `close` and `vanish` end the connection. */
  readonly type?: unknown;
  readonly text?: unknown;
  readonly name?: unknown;
}

export async function startDemoBackend(id: string, room: Room): Promise<DemoBackend> {
  const http = createServer(servePage(id));
  const webSockets = new WebSocketServer({ server: http, maxPayload: 64 * 1024 });
  webSockets.on("connection", (socket) => {
    room.add(socket);
    socket.on("close", () => room.delete(socket));
    // A peer that vanishes is no error of the demo; `close` follows.
    socket.on("error", () => {});
    // `ws` hands every message over as one Buffer unless told otherwise.
    socket.on("message", (data: Buffer) => onMessage({ id, room, socket }, data.toString()));
    send(socket, { type: "welcome", backend: id });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  return {
    url: `ws://127.0.0.1:${portOf(http)}`,
    close: async () => {
      for (const client of webSockets.clients) client.terminate();
      http.close();
      http.closeAllConnections();
      await once(http, "close");
    },
  };
}

function servePage(id: string): RequestListener {
  return (request, response) => {
    response.setHeader("X-Backend-Id", id);
    response.setHeader("Cache-Control", "no-store");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD" }).end();
      return;
    }
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
    response.end(request.method === "HEAD" ? undefined : page);
  };
}

interface Conversation {
  readonly id: string;
  readonly room: Room;
  readonly socket: WebSocket;
}

function onMessage({ id, room, socket }: Conversation, message: string): void {
  const request = parseRequest(message);
  switch (request.type) {
    case "echo":
      send(socket, { type: "echo", backend: id, text: request.text });
      return;
    case "close":
      socket.close(4000, `${id} says goodbye`);
      return;
    case "vanish":
      socket.terminate();
      return;
    default: {
      const chat = { type: "chat", backend: id, name: request.name, text: request.text };
      for (const member of room) send(member, chat);
    }
  }
}

function parseRequest(message: string): Request {
  try {
    const parsed: unknown = JSON.parse(message);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch {
    // Plain text, e.g. from a client on the command line.
  }
  return { type: "chat", text: message };
}

function send(socket: WebSocket, message: object): void {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the demo backend has no port");
  return address.port;
}
