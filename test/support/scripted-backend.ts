// A backend that does as a test's script says on each raw socket: the ways a backend can be right,
// wrong, slow or gone. For a well-behaved one see echo-backend.ts.
import { once } from "node:events";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

import { onCleanup } from "./cleanup.ts";
import type { HttpHead } from "./http-head.ts";
import { acceptFor } from "./raw-client.ts";
import { RawConnection } from "./raw-connection.ts";
import { until } from "./until.ts";

/** What to do with one connection. A script that rejects fails the test at its clean-up. */
export type Script = (connection: RawConnection) => void | Promise<void>;

interface ScriptedBackendOptions {
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly host?: string;
  /** Default any; a fixed one brings a backend back where it was. */
  readonly port?: number;
  readonly unixPath?: string;
  /** True: the peer's FIN is not answered with ours until `finish()`. */
  readonly allowHalfOpen?: boolean;
}

interface AcceptOptions {
  readonly protocol?: string;
  readonly extensions?: string;
  /** Further header lines. */
  readonly lines?: readonly string[];
  /** Sec-WebSocket-Accept in place of the right one. */
  readonly accept?: string;
  /** Bytes (frames) sent in the same write as the 101. */
  readonly earlyBytes?: Buffer;
}

interface AnswerOptions {
  readonly status: number;
  readonly body?: string;
  /** How the body's end is told. Default `content-length`. */
  readonly framing?: "content-length" | "chunked" | "until-close";
  readonly lines?: readonly string[];
  /** Bytes after the answer that nobody must relay. */
  readonly extraBytes?: Buffer | string;
}

export class ScriptedBackend {
  /** `ws://127.0.0.1:PORT`, or `unix:/path`. */
  readonly url: string;
  /** In the order in which they were accepted. */
  readonly connections: RawConnection[] = [];
  readonly #server: Server;

  constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  /** The connection with this index (0 is the first), once it was accepted. */
  async connection(index: number): Promise<RawConnection> {
    return until(`connection ${index} of the scripted backend`, () => this.connections[index]);
  }

  /** Stops listening and cuts what is open. */
  async close(): Promise<void> {
    for (const connection of this.connections) connection.socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** One script for every connection, or a list: one each in order, its last for all that follow. */
export async function startScriptedBackend(
  scripts: Script | readonly [Script, ...Script[]],
  options: ScriptedBackendOptions = {},
): Promise<ScriptedBackend> {
  const list = typeof scripts === "function" ? [scripts] : scripts;
  const failures: unknown[] = [];
  const onSocket = (socket: Socket) => {
    const connection = new RawConnection(socket, { role: "backend" });
    const script = list[Math.min(backend.connections.length, list.length - 1)];
    backend.connections.push(connection);
    play(script, connection).catch((error: unknown) => failures.push(error));
  };
  const allowHalfOpen = options.allowHalfOpen ?? false;
  const server = options.tls
    ? createTlsServer({ ...options.tls, allowHalfOpen }, onSocket)
    : createTcpServer({ allowHalfOpen }, onSocket);
  const backend = new ScriptedBackend(server, await listen(server, options));
  onCleanup(`the scripted backend ${backend.url}`, async () => {
    await backend.close();
    if (failures.length > 0) throw new AggregateError(failures, `a script failed: ${failures.join("; ")}`);
  });
  return backend;
}

/** Answers the upgrade properly, then does as `then` says; without one the connection stays open. */
export function accept(options: AcceptOptions = {}, then?: Script): Script {
  return async (connection) => {
    await acceptUpgrade(connection, options);
    await then?.(connection);
  };
}

/** Reads the upgrade and answers 101; returns the request's head. */
export async function acceptUpgrade(
  connection: RawConnection,
  options: AcceptOptions = {},
): Promise<HttpHead> {
  const request = await connection.readHead();
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${options.accept ?? acceptFor(request.header("sec-websocket-key") ?? "")}`,
    ...(options.protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${options.protocol}`]),
    ...(options.extensions === undefined ? [] : [`Sec-WebSocket-Extensions: ${options.extensions}`]),
    ...(options.lines ?? []),
  ];
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  await connection.write(Buffer.concat([head, options.earlyBytes ?? Buffer.alloc(0)]));
  return request;
}

/** Accepts, with an Accept value that belongs to another key. */
export function acceptWrongly(): Script {
  return accept({ accept: acceptFor("AAAAAAAAAAAAAAAAAAAAAA==") });
}

/** Accepts and reads nothing any more until the test calls `resume()` on the connection. */
export function acceptAndStopReading(options: AcceptOptions = {}): Script {
  return accept(options, (connection) => connection.pause());
}

/** Answers with a status and a body; the backend ends the connection only where the framing asks for it. */
export function answer(options: AnswerOptions): Script {
  return async (connection) => {
    await connection.readHead();
    await connection.write(
      Buffer.concat([Buffer.from(answerText(options)), Buffer.from(options.extraBytes ?? "")]),
    );
    if (options.framing === "until-close") connection.finish();
  };
}

/** Answers with bytes that are no HTTP. */
export function answerGarbage(bytes: Buffer | string = "\x00\x01 not http at all\r\n\r\n"): Script {
  return async (connection) => {
    await connection.readHead();
    await connection.write(bytes);
  };
}

/** Accepts the TCP connection, reads, and never says a word. */
export function neverAnswer(): Script {
  return () => {};
}

/** Sends the beginning of a 101 and then FIN. */
export function closeMidHead(): Script {
  return async (connection) => {
    await connection.readHead();
    await connection.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso");
    connection.finish();
  };
}

/** RST at once, after the request's head, or after a proper 101. */
export function resetAt(point: "connect" | "head" | "accepted"): Script {
  return async (connection) => {
    if (point === "head") await connection.readHead();
    if (point === "accepted") await acceptUpgrade(connection);
    connection.reset();
  };
}

async function play(script: Script | undefined, connection: RawConnection): Promise<void> {
  await script?.(connection);
}

function answerText(options: AnswerOptions): string {
  const body = options.body ?? "";
  const framing = options.framing ?? "content-length";
  const framingLines = {
    "content-length": [`Content-Length: ${Buffer.byteLength(body)}`],
    chunked: ["Transfer-Encoding: chunked"],
    "until-close": ["Connection: close"],
  }[framing];
  const head = [`HTTP/1.1 ${options.status} Scripted`, ...framingLines, ...(options.lines ?? []), "", ""];
  return head.join("\r\n") + (framing === "chunked" ? inChunks(body) : body);
}

// Two chunks, so that a reader that takes the first for all is found out.
function inChunks(body: string): string {
  const half = Math.floor(body.length / 2);
  const parts = [body.slice(0, half), body.slice(half)].filter((part) => part !== "");
  const chunks = parts.map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`);
  return `${chunks.join("")}0\r\n\r\n`;
}

async function listen(server: Server, options: ScriptedBackendOptions): Promise<string> {
  if (options.unixPath !== undefined) {
    server.listen(options.unixPath);
    await once(server, "listening");
    return `unix:${options.unixPath}`;
  }
  const host = options.host ?? "127.0.0.1";
  server.listen(options.port ?? 0, host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const scheme = options.tls ? "wss" : "ws";
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
}
