// `http-proxy-server.ts PORT BACKEND_PORT`

import { createServer } from "node:http";
import type { Socket } from "node:net";
import { createProxyServer } from "http-proxy";

const [port, backendPort] = process.argv.slice(2);
const proxy = createProxyServer({ target: `http://127.0.0.1:${backendPort}`, ws: true });
proxy.on("error", () => {});

const server = createServer((request, response) => proxy.web(request, response));
server.on("upgrade", (request, socket: Socket, head) => proxy.ws(request, socket, head));
server.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
