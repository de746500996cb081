// What is under way as a drain begins: messages arrive whole, be they in pieces or huge; a client that does
// not stop to send holds nobody up.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes, parseClose } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { scrape } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until, untilEqual } from "../support/until.ts";

const { text, binary, continuation, ping } = opcodes;

const goodbye = { code: 1001, reason: "server shutting down" };
const patient = "timeouts: { close: 60s, ping: off }\nshutdown: { spread: 0s, timeout: 2m }";

describe("a message in fragments", () => {
  test.for([["client"], ["backend"]] as const)(
    "of the %s is delivered whole before the Close",
    async ([from]) => {
      const relay = await startRelay({ yaml: patient });
      const { client, backend } = await relay.open();
      const [sender, receiver] = from === "client" ? [client, backend] : [backend, client];
      await sender.sendFrame({ opcode: text, fin: false, payload: "one " });
      expect(await receiver.nextFrame()).toMatchObject({ opcode: text, fin: false });
      const drained = relay.weir.drain();
      expect((await sender.nextClose()).code).toBe(1001);
      await sender.sendFrame({ opcode: continuation, fin: false, payload: "two " });
      await sender.sendFrame({ opcode: ping, payload: "between" });
      await sender.sendFrame({ opcode: continuation, payload: "three" });
      await sender.sendFrame({ opcode: text, payload: "late" });
      const frames = [await receiver.nextFrame(), await receiver.nextFrame(), await receiver.nextFrame()];
      expect(frames.map(({ opcode, fin, payload }) => [opcode, fin, payload.toString()])).toEqual([
        [continuation, false, "two "],
        [ping, true, "between"],
        [continuation, true, "three"],
      ]);
      expect((await receiver.nextClose()).code).toBe(1001);
      await Promise.all([sender.sendClose(1001), receiver.sendClose(1001)]);
      client.finish();
      backend.finish();
      await drained;
      expect(receiver.buffered).toHaveLength(0);
    },
  );

  test("whose sender closes in the middle of it holds nothing up", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    await client.sendFrame({ opcode: text, fin: false, payload: "half" });
    await backend.nextFrame();
    const drained = relay.weir.drain();
    expect(await client.nextClose()).toEqual(goodbye);
    await client.sendClose(1001);
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await backend.sendClose(1001);
    client.finish();
    backend.finish();
    await drained;
  });

  test("that never ends is cut at shutdown.timeout", async () => {
    const yaml = "timeouts: { close: 50ms, ping: off }\nshutdown: { timeout: 300ms }";
    const relay = await startRelay({ yaml });
    const { client, backend } = await relay.open();
    await client.sendFrame({ opcode: text, fin: false, payload: "half" });
    await backend.nextFrame();
    await relay.weir.drain();
    expect(await client.nextClose()).toEqual(goodbye);
    await client.untilPeerState("fin");
    await backend.untilPeerState("fin");
    expect(backend.buffered).toHaveLength(0);
  });
});

describe("messages that wait for their turn", () => {
  const config = { timeouts: { ping: "off", close: "60s" }, shutdown: { spread: "0s", timeout: "2m" } };

  test("are delivered before the Close, each at its time", async () => {
    const weir = await startLimited({ tier: { messages: { rate: "5/s", burst: 1 } }, config });
    const { client, backend } = await weir.open("ann");
    const texts = ["one", "two", "three"];
    const frames = texts.map((payload) => client.encode({ opcode: text, payload }));
    await client.write(
      Buffer.concat([...frames, client.encode({ opcode: text, payload: "half", fin: false })]),
    );
    expect(await backend.nextText()).toBe("one");
    const drained = weir.weir.drain();
    expect(await client.nextClose()).toEqual(goodbye);
    // The last one has begun, and goes on.
    await client.sendFrame({ opcode: continuation, payload: " and half" });
    await client.sendFrame({ opcode: text, payload: "late" });
    expect([await backend.nextText(), await backend.nextText()]).toEqual(["two", "three"]);
    const last = [await backend.nextFrame(), await backend.nextFrame()];
    expect(last.map(({ payload }) => payload.toString())).toEqual(["half", " and half"]);
    expect((await backend.nextClose()).code).toBe(1001);
    await Promise.all([client.sendClose(1001), backend.sendClose(1001)]);
    client.finish();
    backend.finish();
    await drained;
    expect(backend.buffered).toHaveLength(0);
  });

  test("come before the Close of a client that answers at once", async () => {
    // The drain has to begin before the last of them has gone.
    const weir = await startLimited({ tier: { messages: { rate: "1/s", burst: 1 } }, config });
    const { client, backend } = await weir.open("ann");
    const texts = ["one", "two", "three"].map((payload) => client.encode({ opcode: text, payload }));
    await client.write(Buffer.concat([...texts, client.encode({ opcode: opcodes.close, payload: "" })]));
    expect(await backend.nextText()).toBe("one");
    const drained = weir.weir.drain();
    expect([await backend.nextText(), await backend.nextText()]).toEqual(["two", "three"]);
    // Its own, empty one.
    expect((await backend.nextClose()).code).toBe(1005);
    await backend.sendClose(1000);
    expect(await client.nextClose()).toEqual(goodbye);
    client.finish();
    backend.finish();
    await drained;
  });

  test("hold nothing up where their turn would not come within shutdown.timeout", async () => {
    const weir = await startLimited({
      tier: { messages: { rate: "1/h", burst: 1 } },
      limits: { maxDelay: "24h" },
      config,
    });
    const { client, backend } = await weir.open("ann");
    const texts = ["one", "two"].map((payload) => client.encode({ opcode: text, payload }));
    await client.write(Buffer.concat(texts));
    expect(await backend.nextText()).toBe("one");
    const drained = weir.weir.drain();
    expect(await client.nextClose()).toEqual(goodbye);
    expect((await backend.nextClose()).code).toBe(1001);
    await Promise.all([client.sendClose(1001), backend.sendClose(1001)]);
    client.finish();
    backend.finish();
    await drained;
  });
});

test("a client in the middle of a 100 MiB message delivers it whole", async () => {
  const relay = await startRelay({ yaml: patient });
  const { client, backend } = await relay.open();
  const megabyte = Buffer.alloc(2 ** 20, 7);
  const size = 100 * megabyte.length;
  const header = bigFrameHeader(size);
  await client.write(header);
  expect(await backend.readBytes(header.length)).toEqual(header);
  const received = countPayload(backend, size);
  for (let i = 0; i < 30; i++) await client.write(megabyte);
  const drained = relay.weir.drain();
  expect(await client.nextClose()).toEqual(goodbye);
  for (let i = 30; i < 100; i++) await client.write(megabyte);
  await client.sendFrame({ opcode: text, payload: "late" });
  await client.sendClose(1001);
  await untilEqual("the payload that came", size, () => received.bytes);
  expect(received.isAsSent).toBe(true);
  // The Close: two bytes of header, a masking key, and its code.
  await untilEqual("the bytes that came behind it", 8, () => received.bytesBehind);
  await backend.sendClose(1001);
  client.finish();
  backend.finish();
  await drained;
});

test("what Weir has read for a client that is behind comes whole before the Close", async () => {
  const relay = await startRelay({ yaml: patient });
  const { client, backend } = await relay.open();
  client.pause();
  const payload = Buffer.alloc(2 ** 18, 7);
  // More than all buffers on the way take.
  for (let i = 0; i < 128; i++) backend.socket.write(backend.encode({ opcode: binary, payload }));
  await untilBehind(relay.adminUrl);
  const drained = relay.weir.drain();
  expect((await backend.nextClose()).code).toBe(1001);
  client.resume();
  let messages = 0;
  let frame = await client.nextFrame();
  for (; frame.opcode === binary; frame = await client.nextFrame()) {
    expect(frame.payload.equals(payload)).toBe(true);
    messages += 1;
  }
  expect(messages).toBeGreaterThan(0);
  expect(parseClose(frame)).toEqual(goodbye);
  for (const { socket } of [client, backend]) socket.destroy();
  await drained;
});

test("a client that does not stop to send, nor answers, is cut after timeouts.close", async () => {
  const backend = await startEchoBackend();
  const yaml = "timeouts: { close: 200ms, ping: off }\nshutdown: { timeout: 2m }";
  const weir = await spawnWeir(relayYaml([backend.url], yaml));
  const { connection } = await openRaw(weir.url, { allowHalfOpen: true });
  const frame = connection.encode({ opcode: binary, payload: Buffer.alloc(1_000) });
  const sending = setInterval(() => connection.socket.write(frame), 1);
  try {
    await connection.nextFrame();
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  } finally {
    clearInterval(sending);
  }
  const ends = weir.stdout.split("\n").filter((line) => line.includes('"connection closed"'));
  expect(ends).toHaveLength(1);
  expect(JSON.parse(ends[0] ?? "")).toMatchObject({ code: 1001, by: "weir", reason: "draining" });
});

test("a backend that never answers the Close holds up nothing longer than timeouts.close", async () => {
  const relay = await startRelay({ yaml: "timeouts: { close: 200ms, ping: off }" });
  const { client, backend } = await relay.open();
  const drained = relay.weir.drain();
  expect(await client.nextClose()).toEqual(goodbye);
  await client.sendClose(1001);
  client.finish();
  expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
  await drained;
  await backend.untilPeerState("fin");
});

/** Weir has bytes that a client does not take. */
async function untilBehind(adminUrl: string): Promise<void> {
  await until(
    "bytes wait for a client",
    async () => (await scrape(adminUrl)).sum("weir_buffered_bytes", { side: "client" }) > 0,
  );
}

/** The header of a client's frame of this size, masked with zeros: its payload is on the wire as it is. */
function bigFrameHeader(size: number): Buffer {
  const header = encodeFrame({ opcode: binary, payload: Buffer.alloc(65_536), maskingKey: Buffer.alloc(4) });
  const start = Buffer.from(header.subarray(0, 14));
  start.writeBigUInt64BE(BigInt(size), 2);
  return start;
}

/** Counts the bytes of a payload of sevens as they come, and those behind it. */
function countPayload(connection: RawConnection, size: number) {
  const received = { bytes: 0, isAsSent: true, bytesBehind: 0 };
  const sevens = Buffer.alloc(2 ** 20, 7);
  connection.discardFromNowOn();
  connection.socket.on("data", (chunk: Buffer) => {
    const payload = chunk.subarray(0, size - received.bytes);
    received.bytes += payload.length;
    received.isAsSent &&= payload.equals(sevens.subarray(0, payload.length));
    received.bytesBehind += chunk.length - payload.length;
  });
  return received;
}
