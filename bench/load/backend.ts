// The echo backend, a process of its own. It tells its parent its port, and ends with it.
// `GET /close/4002` upgrades and is sent a Close with that code at once.

import { createServer, type Socket } from "node:net";
import { EchoConnection } from "./echo-connection.ts";

const BACKLOG = 4096;

process.on("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole terminal group; the runner decides what ends when.
process.on("SIGINT", () => {});

const server = createServer({ noDelay: true }, (socket: Socket) => {
  // The socket's listeners keep it.
  void new EchoConnection(socket);
});
server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") process.send?.(address.port);
});
