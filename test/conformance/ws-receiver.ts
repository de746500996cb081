// The parser of `ws` as an oracle for ours. `ws` exports it, but its types do not; what we use of it
// is declared here.

import type { Writable } from "node:stream";
import { Receiver } from "ws";
import type { MessageSeen } from "./frame-record.ts";

interface ReceiverOptions {
  readonly isServer: boolean;
  readonly skipUTF8Validation: boolean;
  readonly extensions: Readonly<Record<string, Decompressor>>;
}

interface Decompressor {
  decompress(data: Buffer, fin: boolean, done: (error: null, data: Buffer) => void): void;
}

declare module "ws" {
  interface Receiver extends Writable {}
  const Receiver: new (options: ReceiverOptions) => Receiver;
}

/** `refused`: a protocol error. `closed`: a Close has been read. */
export type WsState = "open" | "closed" | "refused";

export class WsReceiver {
  readonly messages: MessageSeen[] = [];
  /** The text and binary messages themselves. */
  readonly payloads: Buffer[] = [];
  state: WsState = "open";
  readonly #receiver: Receiver;
  #isCompressed = false;

  constructor({ masked, deflate }: { readonly masked: boolean; readonly deflate: boolean }) {
    // Takes compressed data as it is: the oracle is asked about frames, not about zlib.
    const decompressor: Decompressor = {
      decompress: (data, _fin, done) => {
        this.#isCompressed = true;
        process.nextTick(done, null, data);
      },
    };
    this.#receiver = new Receiver({
      isServer: masked,
      skipUTF8Validation: true,
      extensions: deflate ? { "permessage-deflate": decompressor } : {},
    });
    this.#receiver.on("message", (data: Buffer, isBinary: boolean) => {
      this.payloads.push(data);
      const type = isBinary ? "binary" : "text";
      this.messages.push({ type, length: data.length, compressed: this.#isCompressed });
      this.#isCompressed = false;
    });
    this.#receiver.on("ping", (data: Buffer) => {
      this.messages.push({ type: "ping", payload: data.toString("hex") });
    });
    this.#receiver.on("pong", (data: Buffer) => {
      this.messages.push({ type: "pong", payload: data.toString("hex") });
    });
    this.#receiver.on("conclude", (code: number, reason: Buffer) => {
      const status = Buffer.alloc(code === 1005 ? 0 : 2);
      if (code !== 1005) status.writeUInt16BE(code);
      this.messages.push({ type: "close", payload: Buffer.concat([status, reason]).toString("hex") });
      this.state = "closed";
    });
    // Told by the callback of each write already.
    this.#receiver.on("error", () => {});
  }

  /** Resolves when all of it has been read, or when it is clear that no more will be. */
  async write(chunk: Buffer): Promise<void> {
    if (this.state !== "open") return;
    await new Promise<void>((resolve) => {
      this.#receiver.write(chunk, (error) => {
        if (error) this.state = "refused";
        resolve();
      });
    });
  }
}
