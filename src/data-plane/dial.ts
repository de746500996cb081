// The one place that opens a socket to a backend and makes its WebSocket handshake, with its timeouts
// and the naming of what went wrong.

import type http from "node:http";
import net from "node:net";
import tls from "node:tls";
import { Refusal } from "../errors.ts";
import { checkUpgradeResponse } from "../ws/handshake.ts";
import { INFORMATIONAL_PREFIX, parseInformationalHead } from "../ws/response-head.ts";
import { answerFault } from "./answer-fault.ts";
import { readAnswer } from "./answer.ts";
import { tlsOptions, type DialTarget } from "./settings.ts";

export interface DialRequest {
  readonly target: DialTarget;
  readonly path: string;
  /** Name, value, name, value …, Connection and Upgrade included. */
  readonly headers: readonly string[];
  readonly key: string;
  readonly offeredProtocols: string | undefined;
  readonly offeredExtensions: string | undefined;
  /** Makes the client's `Sec-WebSocket-Extensions` of the backend's; null leaves it as it is. */
  readonly answerExtensions: ((answer: string) => string) | null;
  /** Milliseconds from the connected socket to the whole head of the answer. */
  readonly handshakeTimeoutMs: number;
  readonly maxHeaderSize: number;
}

/** The backend switched protocols, or it answered otherwise and the answer is to be passed on. */
export type DialResult =
  | {
      readonly kind: "switched";
      readonly socket: net.Socket;
      readonly rawHeaders: readonly string[];
      /** Frames that came right behind the 101. */
      readonly head: Buffer;
    }
  | { readonly kind: "answered"; readonly response: http.IncomingMessage };

export class Dial {
  readonly result: Promise<DialResult>;
  readonly #options: DialRequest;
  readonly #socket: net.Socket;
  readonly #resolve: (result: DialResult) => void;
  readonly #reject: (error: Refusal) => void;
  #timer: NodeJS.Timeout | null = null;
  #received: Buffer | null = null;
  #failure = "the socket was closed";

  /** Begins at once. `result` rejects with Refusal `backend_failed`, `backend_timeout` or `client_gone`. */
  constructor(options: DialRequest) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<DialResult>();
    this.result = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    const socket = connect(options.target);
    this.#socket = socket;
    this.#arm(options.target.pool.connectTimeout, "the backend did not accept the connection in time");
    socket.on(options.target.config.target.secure ? "secureConnect" : "connect", this.#onConnect);
    socket.on("data", this.#onData);
    socket.on("error", this.#onError);
    socket.on("end", this.#onClose);
    socket.on("close", this.#onClose);
    // The system sends it once the socket is connected.
    socket.write(requestHead(options), "latin1");
  }

  /** The client is gone: gives the dial up. */
  abort(): void {
    this.#fail(new Refusal("client_gone"));
  }

  readonly #onConnect = (): void => {
    this.#arm(this.#options.handshakeTimeoutMs, "the backend did not answer the upgrade in time");
  };

  readonly #onError = (error: Error & { code?: string }): void => {
    this.#failure = error.code ?? error.message;
  };

  readonly #onClose = (): void => {
    this.#fail(new Refusal("backend_failed", { message: `the backend failed: ${this.#failure}` }));
  };

  readonly #onData = (chunk: Buffer): void => {
    let bytes = this.#received === null ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      this.#received = bytes;
      if (!isInformational(bytes)) return this.#readAnswer(bytes);
      const head = parseInformationalHead(bytes);
      if (head === null) break;
      if (head === "malformed") return this.#failAnswer("malformed HTTP");
      if (head.end > this.#options.maxHeaderSize) return this.#failAnswer("its head is too large");
      bytes = bytes.subarray(head.end);
      if (head.statusCode === 101) return this.#switch(head.rawHeaders, bytes);
    }
    if (bytes.length > this.#options.maxHeaderSize) this.#failAnswer("its head is too large");
  };

  #switch(rawHeaders: readonly string[], head: Buffer): void {
    const { key, offeredProtocols, offeredExtensions } = this.#options;
    const fault = checkUpgradeResponse({
      statusCode: 101,
      rawHeaders,
      key,
      offeredProtocols,
      offeredExtensions,
    });
    if (fault !== null) return this.#failAnswer(fault);
    this.#letGo();
    this.#resolve({
      kind: "switched",
      socket: this.#socket,
      rawHeaders: this.#answerHeaders(rawHeaders),
      head,
    });
  }

  #answerHeaders(rawHeaders: readonly string[]): readonly string[] {
    const { answerExtensions } = this.#options;
    if (answerExtensions === null) return rawHeaders;
    return rawHeaders.map((value, i) =>
      i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === "sec-websocket-extensions"
        ? answerExtensions(value)
        : value,
    );
  }

  /** Not a 101: what it is, and where it ends, is for Node's parser to say. The timeout goes on. */
  #readAnswer(bytes: Buffer): void {
    this.#socket.off("data", this.#onData);
    this.#socket.off("end", this.#onClose);
    this.#socket.off("close", this.#onClose);
    readAnswer(this.#socket, bytes, this.#options.maxHeaderSize).then(
      (response) => this.#answer(response),
      (error: Error & { code?: string }) => this.#failAnswer(error.code ?? error.message),
    );
  }

  #answer(response: http.IncomingMessage): void {
    const fault = answerFault(response);
    if (fault !== null) return this.#failAnswer(fault);
    this.#letGo();
    this.#resolve({ kind: "answered", response });
  }

  #failAnswer(reason: string): void {
    this.#fail(new Refusal("backend_failed", { message: `the backend's answer: ${reason}` }));
  }

  #fail(error: Refusal): void {
    this.#letGo();
    this.#socket.destroy();
    this.#reject(error);
  }

  #arm(delayMs: number, message: string): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(new Refusal("backend_timeout", { message })), delayMs);
  }

  /** The socket is another's from here on, or nobody's; its errors are still listened to. */
  #letGo(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const socket = this.#socket;
    socket.on("error", ignoreError);
    socket.off("error", this.#onError);
    socket.off("connect", this.#onConnect);
    socket.off("secureConnect", this.#onConnect);
    socket.off("data", this.#onData);
    socket.off("end", this.#onClose);
    socket.off("close", this.#onClose);
  }
}

/** The lines were read by Node's parser or checked with the configuration: none can hold a line break. */
function requestHead({ path, headers }: DialRequest): string {
  let head = `GET ${path} HTTP/1.1\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${head}\r\n`;
}

/** Whether the answer begins as a 1xx does, as far as it is here. */
function isInformational(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, INFORMATIONAL_PREFIX.length);
  return bytes.toString("latin1", 0, length) === INFORMATIONAL_PREFIX.slice(0, length);
}

/** Opens the transport. Half-open, since either side may end first and the relay decides what follows. */
function connect(target: DialTarget): net.Socket {
  const { host, port, socketPath, secure } = target.config.target;
  const address = socketPath === null ? { host, port } : { path: socketPath };
  const options = { ...address, allowHalfOpen: true, noDelay: true };
  return secure ? tls.connect({ ...options, ...tlsOptions(target) }) : net.connect(options);
}

function ignoreError(): void {}
