// What is under way as a drain begins: messages arrive whole, be they in pieces or huge; a client that does
// not stop to send holds nobody up.
import { once } from "node:events";
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes, parseClose } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { scrape } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { startWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const { text, binary, continuation, ping } = opcodes;

const goodbye = { code: 1001, reason: "server shutting down" };
const patient = "timeouts: { close: 60s, ping: off }\nshutdown: { spread: 0s, timeout: 2m }";

describe("a message in fragments", () => {
  test.for([["client"], ["backend"]] as const)(
    "of the %s is delivered whole before either side gets a Close",
    async ([from]) => {
      const { sender, receiver, drained, finish } = await startInFlight({ from });
      await sender.sendFrame({ opcode: continuation, fin: false, payload: "two " });
      await sender.sendFrame({ opcode: ping, payload: "between" });
      expect(await nextFrames(receiver, 2)).toEqual([
        [continuation, false, "two "],
        [ping, true, "between"],
      ]);
      // Its way has nothing in flight, and stays open for as long.
      await receiver.sendFrame({ opcode: text, payload: "how far?" });
      expect(await nextFrames(sender, 1)).toEqual([[text, true, "how far?"]]);
      await sender.sendFrame({ opcode: continuation, payload: "three" });
      await sender.sendFrame({ opcode: text, payload: "late" });
      expect(await nextFrames(receiver, 1)).toEqual([[continuation, true, "three"]]);
      expect((await receiver.nextClose()).code).toBe(1001);
      expect((await sender.nextClose()).code).toBe(1001);
      await Promise.all([sender.sendClose(1001), receiver.sendClose(1001)]);
      finish();
      await drained;
      expect(receiver.buffered).toHaveLength(0);
    },
  );

  test("waits for one of the other way that has begun meanwhile, and lets no other begin", async () => {
    const { sender, receiver, drained, finish } = await startInFlight({ from: "client" });
    await receiver.sendFrame({ opcode: text, fin: false, payload: "answer " });
    await sender.nextFrame();
    await sender.sendFrame({ opcode: continuation, payload: "three" });
    await sender.sendFrame({ opcode: text, payload: "late" });
    await receiver.nextFrame();
    await receiver.sendFrame({ opcode: continuation, payload: "whole" });
    expect(await nextFrames(sender, 1)).toEqual([[continuation, true, "whole"]]);
    expect(await sender.nextClose()).toEqual(goodbye);
    expect((await receiver.nextClose()).code).toBe(1001);
    await Promise.all([sender.sendClose(1001), receiver.sendClose(1001)]);
    finish();
    await drained;
    expect(receiver.buffered).toHaveLength(0);
  });

  test("whose sender closes in the middle of it holds nothing up", async () => {
    const { sender, receiver, drained, finish } = await startInFlight({ from: "client" });
    await sender.sendClose(1001);
    expect(await receiver.nextClose()).toEqual({ code: 1001, reason: "" });
    expect(await sender.nextClose()).toEqual(goodbye);
    await receiver.sendClose(1001);
    finish();
    await drained;
  });

  test("of a client whose backend vanishes is given up: the client hears of that at once", async () => {
    const { sender, receiver, drained, finish } = await startInFlight({ from: "client" });
    receiver.socket.destroy();
    expect(await sender.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
    await sender.sendClose(1012);
    finish();
    await drained;
  });

  test("of a client that vanishes is given up: the backend is cut", async () => {
    const { sender, receiver, drained, finish } = await startInFlight({ from: "client" });
    sender.socket.destroy();
    await receiver.untilPeerState("fin");
    expect(receiver.buffered).toHaveLength(0);
    finish();
    await drained;
  });

  test("that never ends is cut at shutdown.timeout, and its client gets a Close before", async () => {
    const yaml = "timeouts: { close: 50ms, ping: off }\nshutdown: { spread: 0s, timeout: 300ms }";
    const { sender, receiver, drained } = await startInFlight({ from: "client", yaml });
    await drained;
    expect(await sender.nextClose()).toEqual(goodbye);
    await sender.untilPeerState("fin");
    await receiver.untilPeerState("fin");
    expect(receiver.buffered).toHaveLength(0);
  });

  // `ws`, like browsers, sends nothing more once it has got a Close.
  test.for([["client"], ["backend"]] as const)(
    "of the %s arrives whole where that one is `ws`",
    async ([from]) => {
      const backend = await startEchoBackend();
      const weir = await startWeir(relayYaml([backend.url], patient));
      const client = await openClient(weir.url);
      const served = await backend.socket(0);
      const bystander = await openClient(weir.url);
      const [sender, receiver] = from === "client" ? [client.socket, served] : [served, client.socket];
      const received = once(receiver, "message");
      sender.send("one ", { fin: false });
      await until(
        "the first frame has passed",
        async () => (await scrape(weir.adminUrl)).sum("weir_messages_total") > 0,
      );
      const drained = weir.weir.drain();
      expect(await bystander.closed()).toEqual(goodbye);
      sender.send("two", { fin: true });
      expect(String((await received)[0])).toBe("one two");
      expect(await client.closed()).toEqual(goodbye);
      await drained;
    },
  );
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
    // The last one has begun, and goes on.
    await client.sendFrame({ opcode: continuation, payload: " and half" });
    await client.sendFrame({ opcode: text, payload: "late" });
    expect([await backend.nextText(), await backend.nextText()]).toEqual(["two", "three"]);
    const last = [await backend.nextFrame(), await backend.nextFrame()];
    expect(last.map(({ payload }) => payload.toString())).toEqual(["half", " and half"]);
    expect((await backend.nextClose()).code).toBe(1001);
    expect(await client.nextClose()).toEqual(goodbye);
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
    expect(await client.nextClose()).toEqual({ code: 1000, reason: "" });
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
  const bystander = await relay.open();
  const drained = relay.weir.drain();
  expect(await bystander.client.nextClose()).toEqual(goodbye);
  for (const { socket } of [bystander.client, bystander.backend]) socket.destroy();
  for (let i = 30; i < 100; i++) await client.write(megabyte);
  await client.sendFrame({ opcode: text, payload: "late" });
  expect(await client.nextClose()).toEqual(goodbye);
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
  const bystander = await relay.open();
  const drained = relay.weir.drain();
  expect(await bystander.client.nextClose()).toEqual(goodbye);
  client.resume();
  let messages = 0;
  let frame = await client.nextFrame();
  for (; frame.opcode === binary; frame = await client.nextFrame()) {
    expect(frame.payload.equals(payload)).toBe(true);
    messages += 1;
  }
  expect(messages).toBeGreaterThan(0);
  expect(parseClose(frame)).toEqual(goodbye);
  expect((await backend.nextClose()).code).toBe(1001);
  for (const { socket } of [client, backend, bystander.client, bystander.backend]) socket.destroy();
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

/** A connection with the first frame of a message on its way, when the shutdown has come to it. */
async function startInFlight({ from, yaml = patient }: { from: "client" | "backend"; yaml?: string }) {
  const relay = await startRelay({ yaml });
  const { client, backend } = await relay.open();
  const bystander = await relay.open();
  const [sender, receiver] = from === "client" ? [client, backend] : [backend, client];
  await sender.sendFrame({ opcode: text, fin: false, payload: "one " });
  expect(await receiver.nextFrame()).toMatchObject({ opcode: text, fin: false });
  const drained = relay.weir.drain();
  // All of a thread's are visited at once: `spread` is 0.
  expect(await bystander.client.nextClose()).toEqual(goodbye);
  for (const { socket } of [bystander.client, bystander.backend]) socket.destroy();
  const finish = (): void => {
    client.finish();
    backend.finish();
  };
  return { sender, receiver, drained, finish };
}

async function nextFrames(connection: RawConnection, count: number) {
  const frames: [number, boolean, string][] = [];
  for (let i = 0; i < count; i++) {
    const { opcode, fin, payload } = await connection.nextFrame();
    frames.push([opcode, fin, payload.toString()]);
  }
  return frames;
}

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
