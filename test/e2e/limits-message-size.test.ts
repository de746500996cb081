// limits.maxMessageSize: what a client's message may weigh on the wire, decided on the header, before
// any payload of the frame that is too much is passed on.
import { describe, expect, test } from "vitest";

import { type FrameSpec, opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import { type Relay, type RelayedPair, startRelay } from "../support/relay.ts";

const { text, binary, continuation, ping } = opcodes;

/** The patience proves that every end here is a closing handshake's, not a timer's. */
const yaml = "limits: { maxMessageSize: 1KiB }\ntimeouts: { close: 60s }";

describe("with maxMessageSize: 1KiB", () => {
  test("messages of 1024 bytes pass, whole or in fragments, with control frames between", async () => {
    const { client, backend } = await (await startRelay({ yaml })).open();
    const specs = [
      { opcode: binary, payload: Buffer.alloc(1_024) },
      { opcode: text, payload: "x".repeat(1_000), fin: false },
      { opcode: ping, payload: Buffer.alloc(125) },
      { opcode: continuation, payload: "x".repeat(24) },
      { opcode: binary, payload: Buffer.alloc(1_024) },
    ];
    const bytes = Buffer.concat(specs.map((spec) => client.encode(spec)));
    await client.write(bytes);
    expect(await backend.readBytes(bytes.length)).toEqual(bytes);
  });

  test.for([
    ["one frame of 1025 bytes", [], { opcode: binary, payload: Buffer.alloc(1_025) }],
    ["a frame of which only the header comes", [], { opcode: binary, declaredLength: 2 ** 40 }],
    [
      "a fragment that makes the sum 1025",
      [
        { opcode: text, payload: "x".repeat(1_000), fin: false },
        { opcode: continuation, payload: "x".repeat(24), fin: false },
      ],
      { opcode: continuation, payload: "x" },
    ],
  ] as const satisfies readonly (readonly [string, readonly FrameSpec[], FrameSpec])[])(
    "%s is answered 1009, and nothing of it is passed on",
    async ([, before, tooBig]) => {
      const relay = await startRelay({ yaml });
      const { client, backend } = await relay.open();
      const passed = Buffer.concat(before.map((spec) => client.encode(spec)));
      await client.write(Buffer.concat([passed, client.encode(tooBig)]));
      expect(await client.nextClose()).toMatchObject({ code: 1009 });
      expect(await backend.readBytes(passed.length)).toEqual(passed);
      expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
      const counted = { direction: "client_to_backend" };
      await untilMetric(relay.adminUrl, before.length > 0 ? 1 : 0, "weir_messages_total", counted);
      await untilMetric(relay.adminUrl, passed.length, "weir_bytes_total", counted);
    },
  );

  test("the closing handshake is completed behind the message that was too big", async () => {
    const relay = await startRelay({ yaml });
    for (const payload of [Buffer.alloc(1_025), Buffer.alloc(5_000_000)]) {
      const pair = await relay.open();
      await pair.client.sendFrame({ opcode: binary, payload });
      expect(await pair.backend.nextClose()).toEqual({ code: 1001, reason: "" });
      await expectTooBigHandshake(pair);
    }
    await expectCounted(relay, 2);
  });

  test("the closing handshake is completed behind a message whose payload comes in another packet", async () => {
    const relay = await startRelay({ yaml });
    const pair = await relay.open();
    const frame = pair.client.encode({ opcode: binary, payload: Buffer.alloc(70_000) });
    await pair.client.write(frame.subarray(0, 14));
    await pair.backend.nextClose();
    await pair.client.write(frame.subarray(14));
    expect(await pair.client.nextClose()).toMatchObject({ code: 1009 });
    await pair.client.sendClose(1009);
    await pair.client.untilPeerState("fin");
    await pair.backend.sendClose(1001);
    pair.backend.finish();
    pair.client.finish();
    await Promise.all([pair.client.untilClosed(), pair.backend.untilClosed()]);
    await expectCounted(relay, 1);
  });

  test("a backend may send what it likes", async () => {
    const { client, backend } = await (await startRelay({ yaml })).open();
    const payload = Buffer.alloc(1_000_000, 9);
    await backend.sendFrame({ opcode: binary, payload });
    expect((await client.nextFrame()).payload.equals(payload)).toBe(true);
  });

  test("a compressed message counts as it is on the wire", async () => {
    const { client, backend } = await (await startRelay({ yaml, extensions: "permessage-deflate" })).open();
    const frame = client.encode({ opcode: text, rsv: 4, payload: Buffer.alloc(1_024) });
    await client.write(frame);
    expect(await backend.readBytes(frame.length)).toEqual(frame);
    await client.sendFrame({ opcode: text, rsv: 4, payload: Buffer.alloc(1_025) });
    expect(await client.nextClose()).toMatchObject({ code: 1009 });
  });

  test("the frame that the backend is in the middle of reaches the client before the 1009", async () => {
    const { client, backend } = await (await startRelay({ yaml })).open();
    const frame = backend.encode({ opcode: binary, payload: Buffer.alloc(200, 4) });
    await backend.write(frame.subarray(0, 100));
    await client.readBytes(100);
    await client.sendFrame({ opcode: binary, payload: Buffer.alloc(1_025) });
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await backend.write(frame.subarray(100));
    expect(await client.readBytes(frame.length - 100)).toEqual(frame.subarray(100));
    expect(await client.nextClose()).toMatchObject({ code: 1009 });
  });
});

async function expectTooBigHandshake({ client, backend }: RelayedPair): Promise<void> {
  expect(await client.nextClose()).toMatchObject({ code: 1009 });
  await client.sendClose(1009);
  expect(await client.readToEnd()).toHaveLength(0);
  await backend.sendClose(1001);
  backend.finish();
  expect(await backend.readToEnd()).toHaveLength(0);
  client.finish();
  await Promise.all([client.untilClosed(), backend.untilClosed()]);
}

async function expectCounted({ adminUrl }: Relay, count: number): Promise<void> {
  const labels = { code: "1009", by: "weir", reason: "too_big" };
  await untilMetric(adminUrl, count, "weir_closes_total", labels);
  await untilMetric(adminUrl, 0, "weir_connections");
}
