// Makes the WebSocket handshake with a backend, on a socket that was opened ahead or on a fresh one, with
// its timeout and the naming of what went wrong.

import type http from "node:http";
import type net from "node:net";
import { Refusal } from "../errors.ts";
import { checkUpgradeResponse } from "../ws/handshake.ts";
import { INFORMATIONAL_PREFIX, parseInformationalHead } from "../ws/response-head.ts";
import { answerFault } from "./answer-fault.ts";
import { readAnswer } from "./answer.ts";
import { Connecting } from "./connecting.ts";
import { DialFailure } from "./dial-failure.ts";
import type { DialTarget } from "./dial-target.ts";

export interface DialRequest {
  readonly target: DialTarget;
  /** IP addresses of its name, in the order to try; null: not known, or not needed. */
  readonly addresses: readonly string[] | null;
  /** For a backend that expects one; null for none. */
  readonly proxyHeader: Buffer | null;
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

const REQUEST_TIMEOUT = 408;

export class Dial {
  readonly result: Promise<DialResult>;
  readonly #options: DialRequest;
  readonly #resolve: (result: DialResult) => void;
  readonly #reject: (error: Refusal) => void;
  #connecting: Connecting | null = null;
  #socket: net.Socket | null = null;
  /** The socket was opened ahead: the backend may have closed it before our request. */
  #isWarm = false;
  #timer: NodeJS.Timeout | null = null;
  #received: Buffer | null = null;
  #failure = "the socket was closed";

  /** Begins at once. `result` rejects with DialFailure, or Refusal `client_gone` where it was given up. */
  constructor(options: DialRequest) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<DialResult>();
    this.result = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    const warm = options.target.takeWarm(options.addresses);
    this.#isWarm = warm !== null;
    if (warm === null) this.#connect();
    else this.#ask(warm);
  }

  /** The client is gone: gives the dial up. */
  abort(): void {
    this.#connecting?.abort();
    this.#fail(new Refusal("client_gone"));
  }

  #connect(): void {
    const { target, addresses, proxyHeader } = this.#options;
    this.#connecting = new Connecting(
      // Half-open, since either side may end first and the relay decides what follows.
      { target, addresses, proxyHeader, allowHalfOpen: true },
      { connected: (socket) => this.#ask(socket), failed: (failure) => this.#fail(failure) },
    );
  }

  #ask(socket: net.Socket): void {
    this.#socket = socket;
    socket.on("data", this.#onData);
    socket.on("error", this.#onError);
    socket.on("end", this.#onClose);
    socket.on("close", this.#onClose);
    this.#timer = setTimeout(
      () => this.#fail(new DialFailure("timeout", "the backend did not answer the upgrade in time")),
      this.#options.handshakeTimeoutMs,
    );
    // A head fits into the socket's buffers: there is nothing to wait for.
    socket.write(requestHead(this.#options), "latin1");
  }

  /** The socket that was opened ahead was dead already: no news of the backend. */
  #askAfresh(): void {
    this.#letGo();
    this.#socket?.destroy();
    this.#socket = null;
    this.#isWarm = false;
    this.#received = null;
    this.#connect();
  }

  readonly #onError = (error: Error & { code?: string }): void => {
    this.#failure = error.code ?? error.message;
  };

  readonly #onClose = (): void => {
    if (this.#isWarm && this.#received === null) return this.#askAfresh();
    // It may do so for what the client asks of it, as it may answer garbage.
    this.#fail(new DialFailure("malformed", `the backend failed: ${this.#failure}`));
  };

  readonly #onData = (chunk: Buffer): void => {
    const socket = this.#socket;
    if (socket === null) return;
    let bytes = this.#received === null ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      this.#received = bytes;
      if (!isInformational(bytes)) return this.#readAnswer(socket, bytes);
      const head = parseInformationalHead(bytes);
      if (head === null) break;
      if (head === "malformed") return this.#failAnswer("malformed HTTP");
      if (head.end > this.#options.maxHeaderSize) return this.#failAnswer("its head is too large");
      bytes = bytes.subarray(head.end);
      if (head.statusCode === 101) return this.#switch(socket, head.rawHeaders, bytes);
    }
    if (bytes.length > this.#options.maxHeaderSize) this.#failAnswer("its head is too large");
  };

  #switch(socket: net.Socket, rawHeaders: readonly string[], head: Buffer): void {
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
      socket,
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
  #readAnswer(socket: net.Socket, bytes: Buffer): void {
    socket.off("data", this.#onData);
    socket.off("end", this.#onClose);
    socket.off("close", this.#onClose);
    readAnswer(socket, bytes, this.#options.maxHeaderSize).then(
      (response) => this.#answer(response),
      (error: Error & { code?: string }) => this.#failAnswer(error.code ?? error.message),
    );
  }

  #answer(response: http.IncomingMessage): void {
    const fault = answerFault(response);
    if (fault !== null) return this.#failAnswer(fault);
    // Sent to a silent client before its socket is closed: it has crossed our request on the way.
    if (this.#isWarm && response.statusCode === REQUEST_TIMEOUT) {
      response.destroy();
      return this.#askAfresh();
    }
    this.#letGo();
    this.#resolve({ kind: "answered", response });
  }

  #failAnswer(reason: string): void {
    this.#fail(new DialFailure("malformed", `the backend's answer: ${reason}`));
  }

  #fail(error: Refusal): void {
    this.#letGo();
    this.#socket?.destroy();
    this.#reject(error);
  }

  /** The socket is another's from here on, or nobody's. Its errors have a listener since it was opened. */
  #letGo(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket === null) return;
    socket.off("error", this.#onError);
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
