// Socket.IO on both sides of Weir: a server that says who it is and echoes, and a client.
import { once } from "node:events";
import { createServer } from "node:http";

import { Server } from "socket.io";
import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";

import { onCleanup } from "./cleanup.ts";
import { until, within } from "./until.ts";

/** One client at the transport's level, as `engine.io` knows it. */
interface Session {
  readonly id: string;
  on(event: "close", listener: () => void): void;
}

interface SocketIoServer {
  /** As a pool names it. */
  readonly url: string;
  /** Dies as a killed process does. */
  readonly stop: () => Promise<void>;
}

/** Ids of the sessions that any server here has open. */
const sessions = new Set<string>();

/** Answers `who` with its name, and `echo` with the values that came. */
export async function startSocketIoServer(name: string, path = "/socket.io"): Promise<SocketIoServer> {
  const http = createServer();
  const server = new Server(http, { path });
  server.engine.on("connection", (session: Session) => {
    sessions.add(session.id);
    session.on("close", () => sessions.delete(session.id));
  });
  server.on("connection", (socket) => {
    socket.on("who", (answer: (name: string) => void) => answer(name));
    socket.on("echo", (...values: unknown[]) => {
      const answer = values.pop() as (values: unknown[]) => void;
      answer(values);
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const stop = async (): Promise<void> => {
    http.closeAllConnections();
    await server.close();
  };
  onCleanup(`the Socket.IO server ${name}`, stop);
  const address = http.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `ws://127.0.0.1:${address.port}`, stop };
}

/** Resolves once it is connected; rejects with the first `connect_error`. */
export async function connectSocketIo(
  httpUrl: string,
  options: Partial<ManagerOptions & SocketOptions> = {},
): Promise<Socket> {
  const socket = io(httpUrl, { forceNew: true, ...options });
  onCleanup("a Socket.IO client", async () => {
    const { id } = socket.io.engine;
    socket.disconnect();
    // It says so by a request, behind which its long poll ends: Weir must not be closed before.
    await until("its session is over", () => !sessions.has(id));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("connect", resolve);
  socket.once("connect_error", reject);
  await within("the connection of Socket.IO", promise);
  return socket;
}

/** What the server answers. */
export function ask(socket: Socket, event: string, ...values: unknown[]): Promise<unknown> {
  return socket.timeout(20_000).emitWithAck(event, ...values);
}

export async function nameOf(socket: Socket): Promise<string> {
  return String(await ask(socket, "who"));
}

/** Resolves once the client, which began with polling, has a WebSocket. */
export async function untilUpgraded(socket: Socket): Promise<void> {
  await until("the transport is a WebSocket", () => socket.io.engine.transport.name === "websocket");
}
