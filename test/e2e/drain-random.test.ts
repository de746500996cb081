// Connections with all kinds of things in flight as a shutdown comes to them, whose peers then go on, leave, or are
// silent. Whatever happens: each side gets what the other one has sent, from its beginning on, and behind it nothing
// but a Close, at the end of a frame.
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { decodeFrame, opcodes } from "../support/frames.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { startRelay } from "../support/relay.ts";

const { binary, continuation, ping, close } = opcodes;

const deed = fc.record({
  by: fc.constantFrom("client", "backend"),
  what: fc.constantFrom("message", "fragment", "part of a frame", "part of a frame", "ping", "end", "end"),
  end: fc.constantFrom("Close", "Close and FIN", "FIN", "FIN", "reset"),
  size: fc.nat({ max: 300 }),
});

type Deed = typeof deed extends fc.Arbitrary<infer Value> ? Value : never;

const life = fc.record({
  before: fc.array(
    deed.filter(({ what }) => what !== "end"),
    { minLength: 1, maxLength: 4 },
  ),
  after: fc.array(deed, { maxLength: 6 }),
});

/** One side of a connection, and what it has sent. */
class Peer {
  readonly connection: RawConnection;
  readonly #sent: Buffer[] = [];
  /** Where its frames end, but its Close. */
  readonly #ends = [0];
  #length = 0;
  /** Of the frame in flight. */
  #rest = Buffer.alloc(0);
  #isInMessage = false;
  #isOver = false;

  constructor(connection: RawConnection) {
    this.connection = connection;
  }

  async act({ what, end, size }: Deed): Promise<void> {
    if (this.#isOver) return;
    if (what === "end") return this.#end(end);
    if (this.#rest.length > 0) return this.#send(this.#rest, what === "part of a frame");
    const payload = Buffer.alloc(size, 7);
    if (what === "ping") {
      return this.#send(this.connection.encode({ opcode: ping, payload: payload.subarray(0, 9) }), false);
    }
    const opcode = this.#isInMessage ? continuation : binary;
    this.#isInMessage = what === "fragment";
    const frame = this.connection.encode({ opcode, payload, fin: !this.#isInMessage });
    return this.#send(frame, what === "part of a frame");
  }

  /** Whether these bytes are what this side has sent, up to anywhere, or up to the end of a frame and then a Close. */
  explains(received: Buffer): boolean {
    const sent = Buffer.concat(this.#sent);
    if (sent.subarray(0, received.length).equals(received)) return true;
    return this.#ends.some((end) => {
      const last = decodeFrame(received.subarray(end));
      const isClose = last?.frame.opcode === close && end + last.length === received.length;
      return isClose && sent.subarray(0, end).equals(received.subarray(0, end));
    });
  }

  async #send(bytes: Buffer, isCut: boolean): Promise<void> {
    const part = isCut ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes;
    this.#rest = Buffer.from(bytes.subarray(part.length));
    this.#sent.push(part);
    this.#length += part.length;
    if (this.#rest.length === 0) this.#ends.push(this.#length);
    await this.#write(part);
  }

  async #end(how: Deed["end"]): Promise<void> {
    this.#isOver = true;
    if (how.startsWith("Close") && this.#rest.length === 0) {
      const frame = this.connection.encode({ opcode: close, payload: Buffer.from([3, 232]) });
      this.#sent.push(frame);
      await this.#write(frame);
    }
    if (how.endsWith("FIN")) this.connection.finish();
    if (how === "reset") this.connection.reset();
  }

  /** Weir may have cut it by now. */
  async #write(bytes: Buffer): Promise<void> {
    if (this.connection.socket.writable) await this.connection.write(bytes).catch(() => {});
  }
}

test("what is in flight on many connections at a shutdown is never broken, nor are they left", async () => {
  const property = fc.asyncProperty(fc.array(life, { minLength: 60, maxLength: 60 }), async (lives) => {
    const yaml = "timeouts: { close: 100ms, ping: off }\nshutdown: { spread: 0s, timeout: 600ms }";
    const relay = await startRelay({ yaml });
    const pairs: { client: Peer; backend: Peer }[] = [];
    for (const { before } of lives) {
      const { client, backend } = await relay.open();
      const pair = { client: new Peer(client), backend: new Peer(backend) };
      pairs.push(pair);
      for (const one of before) await pair[one.by].act(one);
    }
    const bystander = await relay.open();
    const drained = relay.weir.drain();
    // All of a thread's are visited at once: `spread` is 0.
    await bystander.client.nextClose();
    const goOn = async ({ after }: (typeof lives)[number], index: number): Promise<void> => {
      for (const one of after) await pairs[index]?.[one.by].act(one);
    };
    await Promise.all(lives.map(goOn));
    await drained;
    for (const { client, backend } of pairs) {
      for (const { connection } of [client, backend]) connection.finish();
      await Promise.all([client.connection.untilClosed(), backend.connection.untilClosed()]);
      expect(client.explains(backend.connection.buffered)).toBe(true);
      expect(backend.explains(client.connection.buffered)).toBe(true);
    }
  });
  await fc.assert(property, { numRuns: 2, endOnFailure: true });
});
