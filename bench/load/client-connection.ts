// One connection of the load generator, on a bare socket: the upgrade, a number of messages in flight,
// the closing handshake. Every byte that comes back is compared with the echo it should be.

import { connect, type Socket } from "node:net";
import { echoFrames, maskedCloseFrame, maskedFrames } from "./frames.ts";

const READ_BYTES = 64 * 1024;
/** All sockets read into the one buffer: each read is dealt with before the next begins. */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);

const CLOSE = 0x88;
const CLOSE_FRAME = maskedCloseFrame(1000);
const HEAD_END = "\r\n\r\n";
const HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ==";
/** RFC 6455 §1.3 gives the answer to its own sample key. */
const HANDSHAKE_ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** What a connection sends and expects; shared by all of them. */
export interface Flow {
  readonly inFlight: number;
  readonly frameBytes: number;
  readonly echoBytes: number;
  /** `inFlight` frames, back to back. */
  readonly frames: Buffer;
  /** Echoes back to back, enough to compare a whole read with from any offset within an echo. */
  readonly echoes: Buffer;
}

export interface ClientEvents {
  onOpen(connection: ClientConnection): void;
  onMessages(connection: ClientConnection, count: number): void;
  /** Called once. Without a failure when both sides said goodbye. */
  onGone(connection: ClientConnection, failure: string | null): void;
}

export function createFlow(messageBytes: number, inFlight: number): Flow {
  const echoBytes = echoFrames(messageBytes, 1).length;
  return {
    inFlight,
    frameBytes: maskedFrames(messageBytes, 1).length,
    echoBytes,
    frames: maskedFrames(messageBytes, inFlight),
    echoes: echoFrames(messageBytes, Math.ceil(READ_BYTES / echoBytes) + 1),
  };
}

/** Who asks for what; a proxy that knows users finds their name in X-User-Id. */
export interface Visit {
  readonly path?: string;
  readonly user?: string;
}

export function upgradeRequest(port: number, { path = "/", user }: Visit = {}): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    ...(user === undefined ? [] : [`X-User-Id: ${user}`]),
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${HANDSHAKE_KEY}`,
    "Sec-WebSocket-Version: 13",
    HEAD_END.slice(2),
  ].join("\r\n");
}

/** How many bytes the head of a correct answer takes; 0 while it is not whole. Throws for a wrong one. */
export function readAnswer(received: Buffer): number {
  const end = received.indexOf(HEAD_END);
  if (end === -1) return 0;
  const head = received.toString("latin1", 0, end);
  if (!head.startsWith("HTTP/1.1 101 ")) throw new Error(`answered ${head.split("\r\n", 1)[0] ?? ""}`);
  if (!head.includes(HANDSHAKE_ACCEPT)) throw new Error("wrong Sec-WebSocket-Accept");
  return end + HEAD_END.length;
}

export class ClientConnection {
  /** When the last message was sent, or the connection begun; milliseconds of `performance.now`. */
  startedAtMs = performance.now();
  readonly #events: ClientEvents;
  readonly #socket: Socket;
  #state: "opening" | "open" | "closing" | "gone" = "opening";
  #head: Buffer = Buffer.alloc(0);
  #flow: Flow | null = null;
  /** Messages that will be sent again as soon as one came back; else each is sent once. */
  #isEndless = false;
  /** Bytes of the echo in progress. */
  #echoed = 0;
  #hasClose = false;
  #hasOpened = false;

  constructor(port: number, events: ClientEvents, visit: Visit = {}) {
    this.#events = events;
    this.#socket = connect({
      host: "127.0.0.1",
      port,
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback: (length) => {
          this.#onRead(length);
          return true;
        },
      },
    });
    this.#socket.on("error", (error) => this.#gone(error.message));
    this.#socket.on("close", () => this.#gone(null));
    this.#socket.write(upgradeRequest(port, visit));
  }

  /** It has had its 101. */
  get hasOpened(): boolean {
    return this.#hasOpened;
  }

  /** A message is under way, and the next one follows it. */
  get isFlowing(): boolean {
    return this.#isEndless && this.#state === "open";
  }

  /** Sends once. */
  ping(flow: Flow): void {
    this.#isEndless = false;
    this.#begin(flow);
  }

  /** Keeps sending until `close`. */
  start(flow: Flow): void {
    this.#isEndless = true;
    this.#begin(flow);
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#socket.write(CLOSE_FRAME);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #begin(flow: Flow): void {
    this.#flow = flow;
    this.#echoed = 0;
    this.startedAtMs = performance.now();
    this.#socket.write(flow.frames);
  }

  #onRead(length: number): void {
    if (this.#state === "opening") this.#readHead(length);
    else if (this.#state === "open") this.#readEchoes(length);
    // The answer to our Close comes behind echoes that nobody waits for any more.
    else this.#hasClose ||= READ_BUFFER.subarray(0, length).includes(CLOSE);
  }

  #readHead(length: number): void {
    this.#head = Buffer.concat([this.#head, READ_BUFFER.subarray(0, length)]);
    try {
      if (readAnswer(this.#head) === 0) return;
    } catch (error) {
      this.#gone(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#head = Buffer.alloc(0);
    this.#state = "open";
    this.#hasOpened = true;
    this.#events.onOpen(this);
  }

  #readEchoes(length: number): void {
    const flow = this.#flow;
    if (flow === null) {
      this.#gone("bytes that nobody asked for");
      return;
    }
    const { echoBytes, echoes } = flow;
    if (READ_BUFFER.compare(echoes, this.#echoed, this.#echoed + length, 0, length) !== 0) {
      this.#gone("an echo differs from what was sent");
      return;
    }
    const total = this.#echoed + length;
    this.#echoed = total % echoBytes;
    const count = (total - this.#echoed) / echoBytes;
    if (count === 0) return;
    this.#events.onMessages(this, count);
    if (!this.#isEndless) return;
    this.startedAtMs = performance.now();
    this.#socket.write(
      count === flow.inFlight ? flow.frames : flow.frames.subarray(0, count * flow.frameBytes),
    );
  }

  #gone(failure: string | null): void {
    if (this.#state === "gone") return;
    const isPolite = this.#state === "closing" && this.#hasClose;
    this.#state = "gone";
    this.#socket.destroy();
    this.#events.onGone(this, isPolite ? null : (failure ?? "closed without a Close"));
  }
}
