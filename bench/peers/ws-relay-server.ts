// `ws-relay-server.ts PORT BACKEND_PORT`

import { WebSocket, WebSocketServer } from "ws";

const NO_STATUS = 1005;
const ABNORMAL = 1006;

const [port, backendPort] = process.argv.slice(2);
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", (client, request) => {
  const backend = new WebSocket(`ws://127.0.0.1:${backendPort}${request.url}`, { perMessageDeflate: false });
  relay(client, backend);
  relay(backend, client);
});

function relay(from: WebSocket, to: WebSocket): void {
  from.on("message", (data, isBinary) => {
    if (to.readyState === WebSocket.CONNECTING) to.once("open", () => to.send(data, { binary: isBinary }));
    else to.send(data, { binary: isBinary });
  });
  from.on("close", (code, reason) => {
    if (code === ABNORMAL) to.terminate();
    else if (code === NO_STATUS) to.close();
    else to.close(code, reason);
  });
  from.on("error", () => to.terminate());
}
