// A backend that answers nothing and counts the messages that come for a path, from the first one on and
// for so long. Every byte is compared with what was sent: a message counts when all of it is there.

import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { switchingProtocols } from "./echo-connection.ts";
import { closeFrame, maskedFrames } from "./frames.ts";

/** A socket's read is no larger. */
const READ_BYTES = 64 * 1024;
const BACKLOG = 4096;
const HEAD_END = "\r\n\r\n";
const NORMAL_CLOSURE = 1000;

/** What came for one path. */
export class Meter {
  readonly windowMs: number;
  readonly frameBytes: number;
  /** Frames back to back, enough to compare a whole read with from any offset within a frame. */
  readonly frames: Buffer;
  messages = 0;
  /** Resolves with the first message. */
  readonly begun: Promise<void>;
  /** Resolves at the end of the window, and rejects when something else comes than was sent. */
  readonly done: Promise<void>;
  readonly #begin: () => void;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;
  #endsAtMs: number | null = null;

  constructor(messageBytes: number, windowMs: number) {
    this.windowMs = windowMs;
    this.frameBytes = maskedFrames(messageBytes, 1).length;
    this.frames = maskedFrames(messageBytes, Math.ceil(READ_BYTES / this.frameBytes) + 1);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    const begun = Promise.withResolvers<void>();
    this.begun = begun.promise;
    this.#begin = begun.resolve;
  }

  get hasBegun(): boolean {
    return this.#endsAtMs !== null;
  }

  count(messages: number): void {
    const nowMs = performance.now();
    if (this.#endsAtMs === null) {
      this.#endsAtMs = nowMs + this.windowMs;
      setTimeout(() => this.#resolve(), this.windowMs);
      this.#begin();
    }
    if (nowMs <= this.#endsAtMs) this.messages += messages;
  }

  fail(failure: string): void {
    this.#reject(new Error(failure));
  }
}

export class Sink {
  readonly #server: Server;
  readonly #meters = new Map<string, Meter>();

  static async listen(): Promise<Sink> {
    const sink = new Sink();
    sink.#server.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG });
    await once(sink.#server, "listening");
    return sink;
  }

  private constructor() {
    // The socket's listeners keep it.
    this.#server = createServer({ noDelay: true }, (socket) => void new SinkConnection(socket, this.#meters));
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the sink does not listen");
    return address.port;
  }

  /** Counts on connections to this path that are opened from now on. */
  watch(path: string, meter: Meter): void {
    this.#meters.set(path, meter);
  }
}

class SinkConnection {
  readonly #socket: Socket;
  readonly #meters: ReadonlyMap<string, Meter>;
  #head = "";
  #isUpgraded = false;
  /** Null where nobody counts. */
  #meter: Meter | null = null;
  /** Bytes of the frame in progress. */
  #received = 0;

  constructor(socket: Socket, meters: ReadonlyMap<string, Meter>) {
    this.#socket = socket;
    this.#meters = meters;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", () => socket.destroy());
  }

  #onData(chunk: Buffer): void {
    if (!this.#isUpgraded) this.#readHead(chunk);
    else if (this.#meter === null) this.#sayGoodbye();
    else this.#count(this.#meter, chunk);
  }

  #readHead(chunk: Buffer): void {
    this.#head += chunk.toString("latin1");
    const end = this.#head.indexOf(HEAD_END);
    if (end === -1) return;
    const path = /^GET (\S+) /.exec(this.#head)?.[1] ?? "";
    const key = /^sec-websocket-key:[ \t]*(\S+)/im.exec(this.#head)?.[1] ?? "";
    this.#isUpgraded = true;
    this.#meter = this.#meters.get(path) ?? null;
    this.#socket.write(switchingProtocols(key));
    const rest = Buffer.from(this.#head.slice(end + HEAD_END.length), "latin1");
    if (rest.length > 0) this.#onData(rest);
  }

  /** Whoever only looks whether the proxy is there sends nothing but a Close. */
  #sayGoodbye(): void {
    this.#socket.end(closeFrame(NORMAL_CLOSURE));
  }

  #count(meter: Meter, chunk: Buffer): void {
    const { frames, frameBytes } = meter;
    if (frames.compare(chunk, 0, chunk.length, this.#received, this.#received + chunk.length) !== 0) {
      // Behind the window it may be the proxy's goodbye, and nobody hears of it any more.
      return meter.fail("what came through differs from what was sent");
    }
    const total = this.#received + chunk.length;
    this.#received = total % frameBytes;
    const messages = (total - this.#received) / frameBytes;
    if (messages > 0) meter.count(messages);
  }
}
