// The only writer of a socket once its handshake is over. It knows whether a Close has gone out on it,
// after which nothing may follow (RFC 6455 §5.5.1).

import type { Socket } from "node:net";

export class FrameWriter {
  readonly socket: Socket;
  #isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** A Close has been written, the peer's own or ours. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Passes a peer's bytes on as they are. False: wait for the socket's `drain`. */
  forward(bytes: Buffer): boolean {
    return this.socket.write(bytes);
  }

  /** The bytes forwarded last ended with the peer's own Close. */
  markClosed(): void {
    this.#isClosed = true;
  }

  /** Writes our Close; the caller has made sure that the stream stands at a frame boundary. */
  close(frame: Buffer): void {
    if (this.#isClosed || !this.socket.writable) return;
    this.#isClosed = true;
    this.socket.write(frame);
  }
}
