// A peer that breaks RFC 6455: everything valid before the bad frame is delivered, nothing of it is,
// and each side is told by code who was at fault.
import { describe, expect, test } from "vitest";

import { encodeFrame, type FrameSpec, opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { type Relay, startRelay } from "../support/relay.ts";
import { untilEqual } from "../support/until.ts";

const { text, binary, continuation, ping, close } = opcodes;

/** Long enough that no test gets by on it. */
const patient = "timeouts: { close: 60s }";

/** Frames that neither side may send, and the error that the log names. */
const violations = [
  ["a reserved bit", "reserved_bits", { opcode: text, rsv: 2, payload: "bad" }],
  ["RSV1 without an extension", "reserved_bits", { opcode: text, rsv: 4, payload: "bad" }],
  ["a reserved data opcode", "bad_opcode", { opcode: 0x3, payload: "bad" }],
  ["a reserved control opcode", "bad_opcode", { opcode: 0xb, payload: "bad" }],
  ["a fragmented ping", "control_fragmented", { opcode: ping, fin: false, payload: "bad" }],
  ["a fragmented Close", "control_fragmented", { opcode: close, fin: false }],
  ["a ping of 126 bytes", "control_too_long", { opcode: ping, payload: Buffer.alloc(126) }],
  ["a Close of 126 bytes", "control_too_long", { opcode: close, payload: Buffer.alloc(126) }],
  ["a stray continuation", "unexpected_continuation", { opcode: continuation, payload: "bad" }],
  ["a length in 16 bits too many", "length_not_minimal", { opcode: text, payload: "bad", lengthForm: 16 }],
  ["a length in 64 bits too many", "length_not_minimal", { opcode: text, payload: "bad", lengthForm: 64 }],
  ["a length of 2^53", "length_too_large", { opcode: binary, lengthForm: 64, declaredLength: 2n ** 53n }],
] as const satisfies readonly (readonly [string, string, FrameSpec])[];

describe("a protocol error", () => {
  test("by the client is answered 1002, and 1001 goes to the backend", async () => {
    const relay = await startRelay({ yaml: patient });
    for (const [what, , spec] of violations) {
      const { client, backend } = await relay.open();
      const valid = client.encode({ opcode: text, payload: what });
      const behind = client.encode({ opcode: text, payload: "behind it" });
      await client.write(Buffer.concat([valid, client.encode(spec), behind]));
      expect(await client.nextClose()).toMatchObject({ code: 1002 });
      expect(await backend.nextText()).toBe(what);
      await expectGoodbye(backend, { code: 1001, masked: true });
      await expectOffenderToEnd(client);
    }
    const labels = { code: "1002", by: "weir", reason: "protocol_error" };
    await untilMetric(relay.adminUrl, violations.length, "weir_closes_total", labels);
    await untilMetric(relay.adminUrl, violations.length, "weir_messages_total");
    await expectLogged(
      relay,
      violations.map(([, error]) => `client ${error}`),
    );
  });

  test("by the backend is answered 1002, and 1012 goes to the client", async () => {
    const relay = await startRelay({ yaml: patient });
    for (const [what, , spec] of violations) {
      const { client, backend } = await relay.open();
      const valid = backend.encode({ opcode: text, payload: what });
      const behind = backend.encode({ opcode: text, payload: "behind it" });
      await backend.write(Buffer.concat([valid, backend.encode(spec), behind]));
      expect(await client.nextText()).toBe(what);
      await expectGoodbye(client, { code: 1012, masked: false });
      expect(await backend.nextClose()).toMatchObject({ code: 1002 });
      // The server, which the backend is, ends its socket first.
      backend.finish();
      await expectOffenderToEnd(backend);
    }
    const labels = { code: "1012", by: "weir", reason: "backend_protocol_error" };
    await untilMetric(relay.adminUrl, violations.length, "weir_closes_total", labels);
    await expectLogged(
      relay,
      violations.map(([, error]) => `backend ${error}`),
    );
  });

  test("is a frame without a mask from a client, and one with a mask from a backend", async () => {
    const relay = await startRelay({ yaml: patient });
    const first = await relay.open();
    await first.client.write(encodeFrame({ opcode: text, payload: "unmasked" }));
    expect(await first.client.nextClose()).toMatchObject({ code: 1002 });
    await expectGoodbye(first.backend, { code: 1001, masked: true });
    const second = await relay.open();
    const masked = encodeFrame({ opcode: text, payload: "masked", maskingKey: Buffer.alloc(4) });
    await second.backend.write(masked);
    expect(await second.backend.nextClose()).toMatchObject({ code: 1002 });
    await expectGoodbye(second.client, { code: 1012, masked: false });
    await expectLogged(relay, ["client mask_required", "backend mask_forbidden"]);
  });

  test("is a new message inside a fragmented one; its first fragment has passed", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    await client.sendFrame({ opcode: text, payload: "begun", fin: false });
    await client.sendText("another");
    expect(await backend.nextFrame()).toMatchObject({ opcode: text, fin: false });
    await expectGoodbye(backend, { code: 1001, masked: true });
    expect(await client.nextClose()).toMatchObject({ code: 1002 });
  });

  test("is found in a header that comes byte by byte, before anything of it is passed on", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    await client.write(Buffer.of(0xf1));
    expect(await client.nextClose()).toMatchObject({ code: 1002 });
    await expectGoodbye(backend, { code: 1001, masked: true });
  });

  test("is garbage, and RSV1 on a continuation where permessage-deflate was agreed on", async () => {
    const relay = await startRelay({ yaml: patient, extensions: "permessage-deflate" });
    for (const bytes of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.concat([
        encodeFrame({ opcode: text, fin: false, rsv: 4, maskingKey: Buffer.alloc(4) }),
        encodeFrame({ opcode: continuation, rsv: 4, maskingKey: Buffer.alloc(4) }),
      ]),
    ]) {
      const { client } = await relay.open();
      await client.write(bytes);
      expect(await client.nextClose()).toMatchObject({ code: 1002 });
    }
  });

  test("does not cut the frame that the other side is in the middle of", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    const frame = backend.encode({ opcode: binary, payload: Buffer.alloc(100, 3) });
    await backend.write(frame.subarray(0, 50));
    await client.readBytes(50);
    await client.sendFrame({ opcode: 0x3 });
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await backend.write(
      Buffer.concat([frame.subarray(50), backend.encode({ opcode: text, payload: "more" })]),
    );
    expect(await client.readBytes(frame.length - 50)).toEqual(frame.subarray(50));
    expect(await client.nextClose()).toMatchObject({ code: 1002 });
  });
});

/** The side that did nothing wrong is closed properly: it answers, and its socket ends. */
async function expectGoodbye(side: RawConnection, goodbye: { code: number; masked: boolean }): Promise<void> {
  const frame = await side.nextFrame();
  expect(frame).toMatchObject({ opcode: close, masked: goodbye.masked });
  expect(frame.payload.readUInt16BE(0)).toBe(goodbye.code);
  await side.sendClose(goodbye.code);
  side.finish();
  expect(await side.readToEnd()).toHaveLength(0);
}

/** RFC 6455 §7.1.7: nothing that follows from the side that failed is processed, not even its Close. */
async function expectOffenderToEnd(side: RawConnection): Promise<void> {
  expect(await side.readToEnd()).toHaveLength(0);
  side.finish();
  await side.untilClosed();
}

/** The log lines come over from the worker thread a little later. */
async function expectLogged({ log }: Relay, expected: readonly string[]): Promise<void> {
  const logged = (): string => {
    const errors = log.entries.filter(({ message }) => message === "protocol error");
    return errors.map(({ fields }) => `${String(fields["side"])} ${String(fields["error"])}`).join(", ");
  };
  await untilEqual("the protocol errors logged", expected.join(", "), logged);
}
