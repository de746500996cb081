// Weir's own frames as the parser of `ws` reads them.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isValidCloseCode } from "../../src/ws/close.ts";
import { buildCloseFrame, buildFrame } from "../../src/ws/frame-builder.ts";
import { Opcode } from "../../src/ws/protocol.ts";
import { WsReceiver } from "./ws-receiver.ts";

const maskingKey = fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }));

const payload = fc.oneof(
  { weight: 20, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536).map((length) => new Uint8Array(length).fill(7)) },
);

test("ws reads the message that was built, whole or in two fragments", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(Opcode.text, Opcode.binary),
      payload,
      maskingKey,
      fc.option(fc.nat(300)),
      async (opcode, payload, maskingKey, cut) => {
        const receiver = new WsReceiver({ masked: maskingKey !== null, deflate: false });
        if (cut === null) {
          await receiver.write(buildFrame({ opcode, payload, maskingKey }));
        } else {
          const first = payload.subarray(0, cut);
          const last = payload.subarray(cut);
          await receiver.write(buildFrame({ opcode, payload: first, fin: false, maskingKey }));
          await receiver.write(buildFrame({ opcode: Opcode.continuation, payload: last, maskingKey }));
        }
        const type = opcode === Opcode.text ? "text" : "binary";
        expect(receiver.messages).toEqual([{ type, length: payload.length, compressed: false }]);
        expect(receiver.payloads).toEqual([Buffer.from(payload)]);
      },
    ),
    { numRuns: 500 },
  );
});

test("ws reads the Ping and the Close that were built", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 125 }),
      fc.integer({ min: 1000, max: 4999 }).filter(isValidCloseCode),
      fc.string({ unit: "binary", maxLength: 150 }),
      maskingKey,
      async (payload, code, reason, maskingKey) => {
        const receiver = new WsReceiver({ masked: maskingKey !== null, deflate: false });
        await receiver.write(buildFrame({ opcode: Opcode.ping, payload, maskingKey }));
        await receiver.write(buildCloseFrame({ code, reason, maskingKey }));
        expect(receiver.state).toBe("closed");
        const [ping, close] = receiver.messages;
        expect(ping).toEqual({ type: "ping", payload: Buffer.from(payload).toString("hex") });
        const sent = Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason)]).toString("hex");
        expect(close).toMatchObject({ type: "close" });
        expect(sent.startsWith(close?.type === "close" ? close.payload : "none")).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});
