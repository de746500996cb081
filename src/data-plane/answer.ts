// Lets Node's HTTP parser read a backend's answer to an upgrade that was written on a bare socket: it
// finds the end of a body better than code of ours would.

import http from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/**
 * Resolves with the answer that `bytes` and then the socket hold; rejects where that is no HTTP, as far as its
 * head and what came with it tell. What comes behind the whole answer is nobody's.
 */
export function readAnswer(
  socket: Socket,
  bytes: Buffer,
  maxHeaderSize: number,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.request({ createConnection: () => new AnswerStream(socket, bytes), maxHeaderSize });
    // The rest of the chunk is parsed before the next turn: until then there is time for a better answer.
    let answer: http.IncomingMessage | null = null;
    request.on("response", (response) => {
      answer = response;
      process.nextTick(resolve, response);
    });
    request.on("error", (error) => {
      if (answer?.complete !== true) reject(error);
    });
    // A 101 comes here only behind an empty line or in HTTP/1.0, which cannot switch protocols.
    request.on("upgrade", (_response, stream) => {
      stream.destroy();
      reject(new Error("a 101 that is not HTTP/1.1"));
    });
    request.end();
  });
}

/** What the parser reads from in place of the socket; the request that Node writes to it goes nowhere. */
class AnswerStream extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket, bytes: Buffer) {
    super();
    this.#socket = socket;
    this.push(bytes);
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("close", () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}
