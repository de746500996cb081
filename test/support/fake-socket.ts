// A socket without a network, for unit tests of what reads and writes one: takes down what is written to it.
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

export class FakeSocket extends Duplex {
  readonly written: Buffer[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    done();
  }

  /** As a `net.Socket` does it: where it is missing, Node's HTTP server only ends its side. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** For what asks for a socket, but uses no more of it than a stream has. */
  get asSocket(): Socket {
    return this as unknown as Socket;
  }
}
