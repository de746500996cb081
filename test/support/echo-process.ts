// The program of backend-process.ts: `echo-process.ts ID HOST PORT` echoes every message, tells its parent the
// port that it got, and ends with it.
import process from "node:process";

import { WebSocketServer } from "ws";

const [id = "", host = "", port = "0"] = process.argv.slice(2);

process.on("disconnect", () => process.exit(0));

const server = new WebSocketServer({ host, port: Number(port), backlog: 4096 });
server.on("headers", (lines) => lines.push(`X-Backend-Id: ${id}`));
server.on("connection", (socket) => {
  socket.on("message", (data: Buffer, isBinary) => socket.send(data, { binary: isBinary }));
  // A cut socket: nothing is left to do.
  socket.on("error", () => {});
});
server.on("listening", () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) process.send?.(address.port);
});
