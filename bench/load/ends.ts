// Connections that end in every way that there is: the clients, and the backend that does its part. Bare sockets,
// as most of the ways are none that a library would let one take.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { upgradeRequest } from "./client-connection.ts";
import { closeFrame, maskedCloseFrame, maskedFrames } from "./frames.ts";

const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_END = "\r\n\r\n";
const CLOSE = 0x88;
const MASK_BYTES = 4;
const NORMAL = 1000;
const MESSAGE = maskedFrames(64, 1);
/** One that does not end by then never will. */
const DEADLINE_MS = 30_000;
/** Until a client that does not wait for its backend hangs up. */
const IMPATIENCE_MS = 5;

/** What Weir in front of it needs: `timeouts` that are over soon, and these routes. */
export function endsConfig(backendPort: number): Readonly<Record<string, unknown>> {
  const pool = { healthCheck: "off", outlier: "off", affinity: { by: "user", ttl: "1s" } };
  return {
    identity: { user: [{ header: "x-user-id" }] },
    tiers: { all: { messages: { rate: "100/s", burst: 10 }, default: true } },
    timeouts: {
      handshake: "300ms",
      backendHandshake: "300ms",
      idle: "500ms",
      close: "200ms",
      ping: { interval: "100ms", timeout: "5s" },
    },
    routes: [
      { match: { path: "/" }, pool: "backend" },
      { match: { path: "/backend/*" }, pool: "backend" },
      { match: { path: "/nobody" }, pool: "nobody" },
    ],
    pools: {
      backend: { ...pool, backends: [`ws://127.0.0.1:${backendPort}`] },
      // Port 1 refuses.
      nobody: { ...pool, retries: 0, backends: ["ws://127.0.0.1:1"] },
    },
  };
}

type Kind = (client: Client) => Promise<void>;

/** Each is done when its socket is closed. */
const KINDS: Readonly<Record<string, Kind>> = {
  "the client says goodbye": async (client) => {
    await client.open("/backend/stays");
    client.write(maskedCloseFrame(NORMAL));
  },
  "the client sends a message and says goodbye": async (client) => {
    await client.open("/backend/stays");
    client.write(Buffer.concat([MESSAGE, maskedCloseFrame(NORMAL)]));
  },
  "the backend says goodbye": async (client) => await client.open("/backend/closes"),
  "the client is gone": async (client) => {
    await client.open("/backend/stays");
    client.end();
  },
  "the client resets": async (client) => {
    await client.open("/backend/stays");
    client.reset();
  },
  "the client resets within a message": async (client) => {
    await client.open("/backend/stays");
    client.write(MESSAGE.subarray(0, 20));
    await client.pause();
    client.reset();
  },
  "the backend is gone": async (client) => await client.open("/backend/ends"),
  "the backend resets": async (client) => await client.open("/backend/resets"),
  "nothing is said": async (client) => await client.open("/backend/stays"),
  "the protocol is broken and nobody answers": async (client) => {
    client.answersClose = false;
    await client.open("/backend/stays");
    // A client's frames are masked (RFC 6455 §5.1).
    client.write(Buffer.from([0x81, 0x01, 0x61]));
  },
  "the backend refuses": async (client) => client.ask("/backend/refuses"),
  "the backend takes too long": async (client) => client.ask("/backend/waits"),
  "the client does not wait": async (client) => {
    client.ask("/backend/waits");
    await client.pause();
    client.reset();
  },
  "the backend cannot be reached": async (client) => client.ask("/nobody"),
  "there is no route": async (client) => client.ask("/nowhere"),
  "the head is not whole": async (client) => client.write("GET / HTTP/1.1\r\nHost: a"),
  "it is no HTTP": async (client) => client.write("\0\r\n\r\n"),
  "it is a plain request": async (client) =>
    client.write("GET /backend/request HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
};

export const KINDS_OF_END = Object.keys(KINDS).length;

/** So many of each kind, all kinds mixed, so many at a time. Rejects where one does not end. */
export async function runEnds(port: number, perKind: number, parallel: number): Promise<void> {
  const kinds = Object.entries(KINDS);
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < perKind * kinds.length) {
      const [name, kind] = kinds[begun % kinds.length] as [string, Kind];
      const client = new Client(port, `user-${begun}`);
      begun += 1;
      await client.run(name, kind);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}

class Client {
  answersClose = true;
  readonly #port: number;
  readonly #user: string;
  readonly #socket: Socket;
  readonly #opened = Promise.withResolvers<void>();
  #received: Buffer = Buffer.alloc(0);
  #isOpen = false;

  constructor(port: number, user: string) {
    this.#port = port;
    this.#user = user;
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.#opened.promise.catch(() => {});
  }

  async run(name: string, kind: Kind): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.on("close", () => resolve()));
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this.#socket.destroy();
    }, DEADLINE_MS);
    void closed.then(() => this.#opened.reject(new Error("closed")));
    // One that was not let in has ended as well.
    await kind(this).catch(() => {});
    await closed;
    clearTimeout(deadline);
    if (isLate) throw new Error(`${name}: did not end`);
  }

  ask(path: string): void {
    this.write(upgradeRequest(this.#port, { path, user: this.#user }));
  }

  /** Rejects where it gets no 101. */
  async open(path: string): Promise<void> {
    this.ask(path);
    await this.#opened.promise;
  }

  write(bytes: Buffer | string): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, IMPATIENCE_MS));
  }

  #onData(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!this.#isOpen) {
      const end = this.#received.indexOf(HEAD_END);
      if (end === -1 || !this.#received.toString("latin1", 0, 12).endsWith(" 101")) return;
      this.#received = this.#received.subarray(end + HEAD_END.length);
      this.#isOpen = true;
      this.#opened.resolve();
    }
    this.#received = stepOver(this.#received, 0, (firstByte) => {
      const isGoodbye = firstByte === CLOSE && this.answersClose && this.#socket.writable;
      if (isGoodbye) this.#socket.end(maskedCloseFrame(NORMAL));
    });
  }
}

/** Tells of each whole frame by its first byte, and returns the rest. All frames here are short. */
function stepOver(bytes: Buffer, maskBytes: number, onFrame: (firstByte: number) => void): Buffer {
  let rest = bytes;
  while (rest.length >= 2) {
    const frameBytes = 2 + maskBytes + ((rest[1] ?? 0) & 0x7f);
    if (rest.length < frameBytes) break;
    onFrame(rest[0] ?? 0);
    rest = rest.subarray(frameBytes);
  }
  return rest;
}

/** The backend's part in it, by the path that it is asked for. */
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
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (!isAsked) {
      const end = received.indexOf(HEAD_END);
      if (end === -1) return;
      isAsked = true;
      act(socket, received.toString("latin1", 0, end + HEAD_END.length));
      received = received.subarray(end + HEAD_END.length);
    }
    received = stepOver(received, MASK_BYTES, (firstByte) => {
      if (firstByte === CLOSE && socket.writable) socket.end(closeFrame(NORMAL));
    });
  });
}

function act(socket: Socket, head: string): void {
  const path = head.split(" ", 2)[1] ?? "";
  if (path === "/backend/waits") return;
  if (path === "/backend/request") return void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  if (path === "/backend/refuses") {
    return void socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
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
