// The only writer of a socket once its handshake is over: passes the peer's bytes on, counts them, and puts
// frames of ours between them. It knows whether a Close has gone out, after which nothing may follow
// (RFC 6455 §5.5.1); where the stream has its boundaries, the pipe knows and says.

import type { Socket } from "node:net";

/** Where one direction's figures are counted: indices into the thread's counter cells. */
export interface DirectionCounters {
  readonly cells: Float64Array;
  readonly messages: number;
  readonly bytes: number;
}

/** A message may take hours, and notices may come all the while. */
const MAX_WAITING_TEXTS = 4;

export class FrameWriter {
  readonly socket: Socket;
  /** Messages of the peer begun, and its wire bytes passed on. */
  messages = 0;
  bytes = 0;
  readonly #counters: DirectionCounters;
  #isClosed = false;
  #waitingTexts: Buffer[] | null = null;
  #waitingClose: Buffer | null = null;
  #waitingPing: { readonly frame: Buffer; readonly onFlushed: () => void } | null = null;

  constructor(socket: Socket, counters: DirectionCounters) {
    this.socket = socket;
    this.#counters = counters;
  }

  /** A Close has been written, the peer's own or ours. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isCloseWaiting(): boolean {
    return this.#waitingClose !== null;
  }

  get isTextWaiting(): boolean {
    return this.#waitingTexts !== null;
  }

  get isPingWaiting(): boolean {
    return this.#waitingPing !== null;
  }

  /** Passes a peer's bytes on as they are. False: wait for the socket's `drain`. */
  forward(bytes: Buffer, messages: number): boolean {
    const { cells, messages: messageCell, bytes: byteCell } = this.#counters;
    this.messages += messages;
    this.bytes += bytes.length;
    cells[messageCell] = (cells[messageCell] as number) + messages;
    cells[byteCell] = (cells[byteCell] as number) + bytes.length;
    return this.socket.write(bytes);
  }

  /** The bytes forwarded last ended with the peer's own Close. */
  markClosed(): void {
    this.#isClosed = true;
  }

  /** Keeps a text message of ours for the next message boundary, behind those that wait; of many only the last. */
  keepText(frame: Buffer): void {
    this.#waitingTexts ??= [];
    if (this.#waitingTexts.length === MAX_WAITING_TEXTS) this.#waitingTexts.pop();
    this.#waitingTexts.push(frame);
  }

  /** The stream stands at a message boundary: the texts that wait go out. False: wait for `drain`. */
  writeTexts(): boolean {
    const frames = this.#waitingTexts;
    this.#waitingTexts = null;
    if (frames === null || this.#isClosed) return true;
    let isRoom = true;
    for (const frame of frames) isRoom = this.socket.write(frame);
    return isRoom;
  }

  /** Keeps a Ping of ours for the next frame boundary; `onFlushed` is called once it has left. */
  keepPing(frame: Buffer, onFlushed: () => void): void {
    this.#waitingPing ??= { frame, onFlushed };
  }

  /** The stream stands at a frame boundary: the Ping that waits goes out. False: wait for `drain`. */
  writePing(): boolean {
    const ping = this.#waitingPing;
    this.#waitingPing = null;
    if (ping === null || this.#isClosed || !this.socket.writable) return true;
    return this.socket.write(ping.frame, (error) => {
      if (!error) ping.onFlushed();
    });
  }

  /** Keeps our Close for the next frame boundary. False where there is one already, of ours or the peer's. */
  keepClose(frame: Buffer): boolean {
    if (this.#isClosed || this.#waitingClose !== null) return false;
    this.#waitingClose = frame;
    return true;
  }

  /** The stream stands at a frame boundary: the Close that waits goes out. False where none does. */
  writeClose(): boolean {
    const frame = this.#waitingClose;
    if (frame === null) return false;
    this.#waitingClose = null;
    if (!this.#isClosed && this.socket.writable) {
      this.#isClosed = true;
      this.socket.write(frame);
    }
    return true;
  }
}
