// One TCP or TLS socket of a test, byte by byte: what came, in the order it came, and how it ended.
// Both the byte-exact client and the scripted backend are made of it; it knows frames, but not Weir.
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";

import { onCleanup } from "./cleanup.ts";
import {
  closePayload,
  decodeFrame,
  encodeFrame,
  type Frame,
  type FrameSpec,
  opcodes,
  parseClose,
} from "./frames.ts";
import { HttpHead } from "./http-head.ts";
import { within } from "./until.ts";

/** How the peer's direction ended: its FIN, its RST (or another socket error), or not at all so far. */
export type PeerState = "open" | "fin" | "reset";

interface RawConnectionOptions {
  /** Clients mask their frames, backends do not (RFC 6455 §5.1). */
  readonly role: "client" | "backend";
}

export class RawConnection {
  readonly socket: Socket;
  readonly #role: "client" | "backend";
  readonly #watchers = new Set<() => void>();
  #chunks: Buffer[] = [];
  #receivedBytes = 0;
  #keepsBytes = true;
  #peerState: PeerState = "open";

  constructor(socket: Socket, options: RawConnectionOptions) {
    this.socket = socket;
    this.#role = options.role;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#receivedBytes += chunk.length;
      if (this.#keepsBytes) this.#chunks.push(chunk);
      this.#notify();
    });
    socket.on("end", () => this.#onPeerState("fin"));
    socket.on("error", () => this.#onPeerState("reset"));
    socket.on("close", () => this.#notify());
    onCleanup(`a raw ${options.role} connection`, () => void socket.destroy());
  }

  /** Bytes that came and were not taken by a read yet. */
  get buffered(): Buffer {
    const bytes = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = bytes === undefined ? [] : [bytes];
    return bytes ?? Buffer.alloc(0);
  }

  /** All bytes that ever came, taken and discarded ones too. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get peerState(): PeerState {
    return this.#peerState;
  }

  /** From now on bytes are counted and thrown away, for streams too large to keep. */
  discardFromNowOn(): void {
    this.#keepsBytes = false;
    this.#chunks = [];
  }

  /** Writes in one call; resolves when the kernel has taken it all. */
  write(bytes: Buffer | string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    return promise;
  }

  /** Each byte in a write of its own, each handed to the kernel before the next. */
  async writeByteByByte(bytes: Buffer | string): Promise<void> {
    for (const byte of Buffer.from(bytes)) await this.write(Buffer.of(byte));
  }

  /** Takes and returns the first `length(buffered)` bytes, once that is not undefined. */
  async readUntil(what: string, length: (buffered: Buffer) => number | undefined): Promise<Buffer> {
    const count = await this.#watch(what, () => length(this.buffered));
    const all = this.buffered;
    this.#chunks = [all.subarray(count)];
    return all.subarray(0, count);
  }

  async readBytes(count: number): Promise<Buffer> {
    const what = `${count} bytes`;
    // Joined once they are there: at each chunk of many megabytes that would take long.
    const isThere = () => this.#chunks.reduce((sum, { length }) => sum + length, 0) >= count;
    await this.#watch(what, () => isThere() || undefined);
    return this.readUntil(what, () => count);
  }

  /** The next HTTP head, empty line included; what follows it stays buffered. */
  async readHead(): Promise<HttpHead> {
    const bytes = await this.readUntil("an HTTP head", (all) => {
      const end = all.indexOf("\r\n\r\n");
      return end === -1 ? undefined : end + 4;
    });
    return new HttpHead(bytes.toString("latin1"));
  }

  /** All that is buffered and still comes, up to the peer's FIN; rejects when it ends by RST instead. */
  async readToEnd(): Promise<Buffer> {
    await this.untilPeerState("fin");
    return this.readBytes(this.buffered.length);
  }

  async nextFrame(): Promise<Frame> {
    const bytes = await this.readUntil("a whole frame", (all) => decodeFrame(all)?.length);
    const decoded = decodeFrame(bytes);
    if (decoded === undefined) throw new Error("a frame was whole and is not any more");
    return decoded.frame;
  }

  /** The next frame, which must be a whole text message. */
  async nextText(): Promise<string> {
    const frame = await this.nextFrame();
    if (frame.opcode !== opcodes.text || !frame.fin)
      throw new Error(`not a text message: ${describe(frame)}`);
    return frame.payload.toString("utf8");
  }

  /** Code and reason of the next frame, which must be a Close. */
  async nextClose(): Promise<{ code: number; reason: string }> {
    return parseClose(await this.nextFrame());
  }

  /** Masked with a random key when this end is a client, unless the frame brings its own key. */
  sendFrame(spec: FrameSpec): Promise<void> {
    return this.write(this.encode(spec));
  }

  encode(spec: FrameSpec): Buffer {
    return encodeFrame(this.#role === "client" ? { maskingKey: randomBytes(4), ...spec } : spec);
  }

  sendText(text: string): Promise<void> {
    return this.sendFrame({ opcode: opcodes.text, payload: text });
  }

  sendClose(code?: number, reason?: string): Promise<void> {
    return this.sendFrame({ opcode: opcodes.close, payload: closePayload(code, reason) });
  }

  /** Sends FIN; the other direction stays open. */
  finish(): void {
    this.socket.end();
  }

  /** Sends RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Stops reading, so that the kernel's buffers fill and the sender is held back; a FIN is not seen then. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Resolves when the peer's direction is in this state; rejects when it ends in the other way. */
  async untilPeerState(state: Exclude<PeerState, "open">): Promise<void> {
    await this.#watch(`the peer's ${state}`, () => (this.#peerState === state ? true : undefined));
  }

  /** Resolves when the socket is wholly closed, in whatever way, with how the peer ended it. */
  async untilClosed(): Promise<PeerState> {
    if (this.socket.closed) return this.#peerState;
    const { promise, resolve } = Promise.withResolvers<PeerState>();
    this.socket.once("close", () => resolve(this.#peerState));
    return within(() => `the socket is closed; ${this.#describe()}`, promise);
  }

  async untilReceivedBytes(count: number): Promise<void> {
    await this.#watch(`${count} bytes received`, () => (this.#receivedBytes >= count ? true : undefined));
  }

  #onPeerState(state: PeerState): void {
    if (this.#peerState === "open") this.#peerState = state;
    this.#notify();
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }

  async #watch<T>(what: string, probe: () => T | undefined): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const check = () => {
      const found = probe();
      if (found !== undefined) resolve(found);
      else if (this.socket.closed || this.#peerState !== "open") {
        reject(new Error(`the socket ended before ${what}; ${this.#describe()}`));
      }
    };
    this.#watchers.add(check);
    check();
    try {
      return await within(() => `${what}; ${this.#describe()}`, promise);
    } finally {
      this.#watchers.delete(check);
    }
  }

  #describe(): string {
    const bytes = this.buffered;
    const preview = JSON.stringify(bytes.subarray(0, 200).toString("latin1"));
    return `peer: ${this.#peerState}, received ${this.#receivedBytes} bytes, buffered ${bytes.length}: ${preview}`;
  }
}

function describe(frame: Frame): string {
  return `opcode ${frame.opcode}, fin ${frame.fin}, ${frame.payload.length} bytes`;
}
