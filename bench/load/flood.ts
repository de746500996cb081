// A user who floods: opens connections, then writes messages on all of them as fast as the proxy reads.

import { connect, type Socket } from "node:net";
import { readAnswer, upgradeRequest } from "./client-connection.ts";
import type { Flood, FloodReport } from "./commands.ts";
import { maskedFrames } from "./frames.ts";
import { Meter, type Sink } from "./sink.ts";

/** What is written at a time, about. */
const BATCH_BYTES = 64 * 1024;
/** For the connections to open, and for the first message. */
const START_DEADLINE_MS = 15_000;

/** Resolves with what the sink had got when the window was over. Throws when a connection ends before. */
export async function flood(order: Flood, sink: Sink): Promise<FloodReport> {
  const meter = new Meter(order.messageBytes, order.windowMs);
  sink.watch(order.path, meter);
  const connections = Array.from({ length: order.connections }, () => new FloodConnection(order, meter));
  const deadline = setTimeout(() => {
    if (!meter.hasBegun) meter.fail("no message got through");
  }, START_DEADLINE_MS);
  try {
    await Promise.race([Promise.all(connections.map(({ opened }) => opened)), meter.done]);
    // The first message goes alone: the window begins with it, and nothing must delay the sight of it.
    connections[0]?.write(maskedFrames(order.messageBytes, 1));
    await Promise.race([meter.begun, meter.done]);
    const batch = maskedFrames(order.messageBytes, Math.ceil(BATCH_BYTES / meter.frameBytes));
    for (const connection of connections) connection.flood(batch);
    await meter.done;
  } finally {
    clearTimeout(deadline);
    for (const connection of connections) connection.destroy();
  }
  return { messages: meter.messages };
}

class FloodConnection {
  readonly opened: Promise<void>;
  readonly #open: () => void;
  readonly #socket: Socket;
  readonly #meter: Meter;
  #head: Buffer = Buffer.alloc(0);
  #isOpen = false;

  constructor({ port, path, user }: Flood, meter: Meter) {
    this.#meter = meter;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.opened = promise;
    this.#open = resolve;
    this.#socket = connect({ host: "127.0.0.1", port, noDelay: true });
    this.#socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on("error", (error) => meter.fail(error.message));
    this.#socket.on("close", () => meter.fail("a connection of the flood was cut"));
    this.#socket.write(upgradeRequest(port, { path, user }));
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Until `destroy`. */
  flood(batch: Buffer): void {
    const writeOn = (): void => {
      // Not at once: as long as the kernel takes all, there would be no end of writing, and the sink, which
      // has the same thread, would not get to read.
      if (!this.#socket.destroyed) this.#socket.write(batch, () => setImmediate(writeOn));
    };
    writeOn();
  }

  destroy(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    if (this.#isOpen) return this.#meter.fail(`a connection of the flood was sent ${chunk.toString("hex")}`);
    this.#head = Buffer.concat([this.#head, chunk]);
    try {
      if (readAnswer(this.#head) === 0) return;
    } catch (error) {
      return this.#meter.fail(error instanceof Error ? error.message : String(error));
    }
    this.#isOpen = true;
    this.#open();
  }
}
