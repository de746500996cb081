// The backend's part in how connections end. A bare socket, as most of the ways are none that a library would
// let one take.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { CLOSE, HEAD_END, IMPATIENCE_MS, NORMAL, stepOver } from "./ends-client.ts";
import { closeFrame } from "./frames.ts";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MASK_BYTES = 4;

/** Does as the path says that it is asked for. */
export class EndsBackend {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async listen(): Promise<EndsBackend> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      serveEnd(socket);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new EndsBackend(server, sockets);
  }

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = (server.address() as AddressInfo).port;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

function serveEnd(socket: Socket): void {
  let received: Buffer = Buffer.alloc(0);
  let isAsked = false;
  let answersClose = true;
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (!isAsked) {
      const end = received.indexOf(HEAD_END);
      if (end === -1) return;
      isAsked = true;
      const head = received.toString("latin1", 0, end + HEAD_END.length);
      answersClose = pathOf(head) !== "/backend/mute";
      act(socket, head);
      received = received.subarray(end + HEAD_END.length);
    }
    received = stepOver(received, MASK_BYTES, (firstByte) => {
      if (firstByte === CLOSE && answersClose && socket.writable) socket.end(closeFrame(NORMAL));
    });
  });
}

function act(socket: Socket, head: string): void {
  const path = pathOf(head);
  if (path === "/backend/waits") return;
  if (path === "/backend/request") return void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  if (path === "/backend/refuses") {
    return void socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  }
  if (path === "/backend/trickles") {
    return void socket.write("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  }
  const key = /^sec-websocket-key:[ \t]*(\S+)/im.exec(head)?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  if (path === "/backend/closes") socket.write(closeFrame(NORMAL));
  if (path === "/backend/ends") socket.end();
  if (path === "/backend/resets") setTimeout(() => socket.resetAndDestroy(), IMPATIENCE_MS);
}

function pathOf(head: string): string {
  return head.split(" ", 2)[1] ?? "";
}
