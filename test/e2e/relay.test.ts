// What passes through an open connection: every byte, in both directions, as it was sent.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { cutAt, cuts, frameStream } from "../support/frame-stream.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir } from "../support/start-weir.ts";

const { text, binary, continuation, ping, pong } = opcodes;

describe("the relay", () => {
  test.for([
    ["without an extension", undefined],
    ["with permessage-deflate", "permessage-deflate"],
  ] as const)("passes random frames in random packets byte for byte, %s", async ([, extensions]) => {
    const relay = await startRelay(extensions === undefined ? {} : { extensions });
    const compressed = extensions !== undefined;
    const streams = fc.record({
      up: frameStream({ masked: true, compressed }),
      upCuts: cuts,
      down: frameStream({ masked: false, compressed }),
      downCuts: cuts,
    });
    const sent = { messagesUp: 0, messagesDown: 0, bytesUp: 0, bytesDown: 0 };
    const property = fc.asyncProperty(streams, async ({ up, upCuts, down, downCuts }) => {
      const { client, backend } = await relay.open();
      const received = await Promise.all([
        backend.readBytes(up.bytes.length),
        client.readBytes(down.bytes.length),
        sendPackets(client, cutAt(up.bytes, upCuts)),
        sendPackets(backend, cutAt(down.bytes, downCuts)),
      ]);
      expect(received[0].equals(up.bytes)).toBe(true);
      expect(received[1].equals(down.bytes)).toBe(true);
      client.reset();
      sent.messagesUp += up.messages;
      sent.messagesDown += down.messages;
      sent.bytesUp += up.bytes.length;
      sent.bytesDown += down.bytes.length;
    });
    await fc.assert(property, { numRuns: 25 });

    const metrics = await scrape(relay.adminUrl);
    const up = { direction: "client_to_backend", tier: "default", pool: "chat" };
    const down = { ...up, direction: "backend_to_client" };
    expect(metrics.sum("weir_messages_total", up)).toBe(sent.messagesUp);
    expect(metrics.sum("weir_messages_total", down)).toBe(sent.messagesDown);
    expect(metrics.sum("weir_bytes_total", up)).toBe(sent.bytesUp);
    expect(metrics.sum("weir_bytes_total", down)).toBe(sent.bytesDown);
  });

  test("passes pings and pongs of either peer, and answers none of them itself", async () => {
    const relay = await startRelay();
    const { client, backend } = await relay.open();
    await client.sendFrame({ opcode: ping, payload: "from the client" });
    expect(await backend.nextFrame()).toMatchObject({ opcode: ping, masked: true });
    await backend.sendFrame({ opcode: ping, payload: "from the backend" });
    await backend.sendFrame({ opcode: pong, payload: "from the client" });
    const frames = [await client.nextFrame(), await client.nextFrame()];
    expect(frames.map(({ opcode, payload }) => [opcode, payload.toString()])).toEqual([
      [ping, "from the backend"],
      [pong, "from the client"],
    ]);
    await client.sendFrame({ opcode: pong, payload: "from the backend" });
    expect(await backend.nextFrame()).toMatchObject({ opcode: pong });
    expect([client.buffered.length, backend.buffered.length]).toEqual([0, 0]);
    // They are bytes, but no messages.
    await untilMetric(relay.adminUrl, 0, "weir_messages_total");
  });

  test("passes a frame whose length takes 64 bits, and one without payload", async () => {
    const { client, backend } = await (await startRelay()).open();
    const frames = [
      client.encode({ opcode: binary, payload: Buffer.alloc(70_000, 7) }),
      client.encode({ opcode: text }),
    ];
    await client.write(Buffer.concat(frames));
    expect(await backend.readBytes(lengthOf(frames))).toEqual(Buffer.concat(frames));
    await backend.sendFrame({ opcode: binary, payload: Buffer.alloc(70_000, 8) });
    await backend.sendFrame({ opcode: text });
    expect((await client.nextFrame()).payload).toEqual(Buffer.alloc(70_000, 8));
    expect((await client.nextFrame()).payload).toHaveLength(0);
  });

  test("passes frames that come byte by byte, in both directions", async () => {
    const { client, backend } = await (await startRelay()).open();
    const up = [
      client.encode({ opcode: text, payload: "begin", fin: false }),
      client.encode({ opcode: ping, payload: "between" }),
      client.encode({ opcode: continuation, payload: Buffer.alloc(130, 1) }),
    ];
    const down = [
      encodeFrame({ opcode: text, payload: "begin", fin: false }),
      encodeFrame({ opcode: pong }),
      encodeFrame({ opcode: continuation, payload: Buffer.alloc(130, 2) }),
    ];
    await Promise.all([
      client.writeByteByByte(Buffer.concat(up)),
      backend.writeByteByByte(Buffer.concat(down)),
    ]);
    expect(await backend.readBytes(lengthOf(up))).toEqual(Buffer.concat(up));
    expect(await client.readBytes(lengthOf(down))).toEqual(Buffer.concat(down));
  });

  test("counts a message once it begins, whatever its fragments, and the bytes of its frames", async () => {
    const relay = await startRelay();
    const { client, backend } = await relay.open();
    const frames = [
      client.encode({ opcode: text, payload: "one", fin: false }),
      client.encode({ opcode: continuation, payload: "still one", fin: false }),
      client.encode({ opcode: continuation }),
      client.encode({ opcode: binary, payload: "two" }),
      client.encode({ opcode: binary, payload: "three, begun only", fin: false }),
    ];
    await client.write(Buffer.concat(frames));
    await backend.readBytes(lengthOf(frames));
    const metrics = await scrape(relay.adminUrl);
    expect(metrics.sum("weir_messages_total", { direction: "client_to_backend" })).toBe(3);
    expect(metrics.sum("weir_bytes_total", { direction: "client_to_backend" })).toBe(lengthOf(frames));
    expect(metrics.sum("weir_messages_total", { direction: "backend_to_client" })).toBe(0);
    expect(metrics.sum("weir_bytes_total", { direction: "backend_to_client" })).toBe(0);
  });
});

describe("a header or control frame that is split over packets", () => {
  // What Weir holds back is seen by cutting the connection: had it been passed on, it would have come.
  test.for([
    ["a ping without its last byte", { opcode: ping, payload: "abc" }, -1],
    ["half a header", { opcode: binary, payload: Buffer.alloc(300) }, 3],
    ["a single byte", { opcode: text, payload: "x" }, 1],
  ] as const)("is held back until it is whole: %s", async ([, spec, end]) => {
    const relay = await startRelay();
    const { client, backend } = await relay.open();
    const whole = client.encode({ opcode: text, payload: "before" });
    await client.write(Buffer.concat([whole, client.encode(spec).subarray(0, end)]));
    client.finish();
    expect(await backend.readToEnd()).toEqual(whole);

    const other = await relay.open();
    const held = other.client.encode(spec);
    await other.client.write(held.subarray(0, end));
    await other.client.write(held.subarray(end));
    expect(await other.backend.readBytes(held.length)).toEqual(held);
  });
});

test("a frame that came in one packet with the 101 is passed first", async () => {
  const earlyBytes = encodeFrame({ opcode: text, payload: "early" });
  const server = await startScriptedBackend(accept({ earlyBytes }));
  const { url } = await startWeir(relayYaml([server.url]));
  const { connection: client } = await openRaw(url);
  expect(await client.nextText()).toBe("early");
  await client.sendText("after");
  expect(await (await server.connection(0)).nextText()).toBe("after");
});

async function sendPackets(connection: RawConnection, packets: readonly Buffer[]): Promise<void> {
  for (const packet of packets) await connection.write(packet);
}

function lengthOf(frames: readonly Buffer[]): number {
  return Buffer.concat(frames).length;
}
