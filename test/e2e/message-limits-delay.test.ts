// onExceed: delay. What is above the limit waits: nothing is lost, reordered or changed, the sender is held
// back, and whoever has to end the connection still can.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { cutAt, cuts, frameStream } from "../support/frame-stream.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { endByDrain, startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const { binary, text, ping, pong, continuation } = opcodes;

/** So fast that a test need not wait, so small that nearly everything has to. */
const brief = { tier: { messages: { rate: "500/s", burst: 1 } }, limits: { maxDelay: "1h" } };

/** The second message would wait for an hour, which is allowed here. */
const endless = { tier: { messages: { rate: "1/h", burst: 1 } }, limits: { maxDelay: "2h" } };

const limited = "weir_messages_limited_total";

describe("messages above the limit", () => {
  test("arrive whole, in order and unchanged, however they are cut and fragmented", async () => {
    const weir = await startLimited(brief);
    let users = 0;
    await fc.assert(
      fc.asyncProperty(
        frameStream({ masked: true, compressed: false }),
        cuts,
        async ({ bytes }, fractions) => {
          const { client, backend } = await weir.open(`user-${(users += 1)}`);
          for (const packet of cutAt(bytes, fractions)) await client.write(packet);
          expect((await backend.readBytes(bytes.length)).equals(bytes)).toBe(true);
          await backend.sendText("got it");
          expect(await client.nextText()).toBe("got it");
          client.socket.destroy();
          backend.socket.destroy();
        },
      ),
      { numRuns: 25 },
    );
  });

  test("are let go one by one, 300 in one packet and the Close behind them", async () => {
    const weir = await startLimited(brief);
    const { client, backend } = await weir.open("ann");
    const texts = Array.from({ length: 300 }, (_, i) =>
      client.encode({ opcode: text, payload: `message ${i}` }),
    );
    const bytes = Buffer.concat(texts);
    await client.write(bytes);
    await client.sendClose(4_000, "done");
    expect((await backend.readBytes(bytes.length)).equals(bytes)).toBe(true);
    expect(await backend.nextClose()).toEqual({ code: 4_000, reason: "done" });
    await untilMetric(weir.adminUrl, 300, "weir_messages_total", { direction: "client_to_backend" });
    const metrics = await scrape(weir.adminUrl);
    const delayed = metrics.sum(limited, { action: "delay", tier: "member" });
    expect(delayed).toBeGreaterThan(0);
    await untilMetric(weir.adminUrl, delayed, "weir_message_delay_seconds_count");
  });

  test("arrive in order where the client sent them before its 101, and more right after it", async () => {
    const server = await startScriptedBackend(accept());
    const weir = await startInFrontOf(server.url, {
      config: { tiers: { member: { messages: { rate: "100/s", burst: 1 }, default: true } } },
    });
    const client = await connectRaw(weir.url);
    const texts = Array.from({ length: 40 }, (_, i) =>
      client.encode({ opcode: text, payload: `message ${i}` }),
    );
    const early = Buffer.concat(texts.slice(0, 20));
    const late = Buffer.concat(texts.slice(20));
    await client.write(Buffer.concat([Buffer.from(upgradeRequest()), early]));
    expect((await client.readHead()).status).toBe(101);
    await client.write(late);
    const backend = await server.connection(0);
    const bytes = Buffer.concat([early, late]);
    expect((await backend.readBytes(bytes.length)).equals(bytes)).toBe(true);
  });

  test("are all delivered before the end of a client that vanishes behind them", async () => {
    const weir = await startLimited(brief);
    const { client, backend } = await weir.open("ann");
    const texts = Array.from({ length: 50 }, (_, i) =>
      client.encode({ opcode: text, payload: `message ${i}` }),
    );
    await client.write(Buffer.concat(texts));
    client.finish();
    expect((await backend.readToEnd()).equals(Buffer.concat(texts))).toBe(true);
    backend.finish();
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", { reason: "client_lost" });
  });

  test("count once, at their first frame, whatever comes between their fragments", async () => {
    const weir = await startLimited({ ...endless, tier: { messages: { rate: "1/h", burst: 2 } } });
    const { client, backend } = await weir.open("ann");
    const fragments = Array.from({ length: 5_000 }, (_, i) =>
      client.encode({ opcode: i === 0 ? text : continuation, payload: "x", fin: i === 4_999 }),
    );
    const between = client.encode({ opcode: ping, payload: "between" });
    const bytes = Buffer.concat([...fragments.slice(0, 2_500), between, ...fragments.slice(2_500)]);
    await client.write(Buffer.concat([bytes, client.encode({ opcode: binary })]));
    const empty = client.encode({ opcode: binary, maskingKey: Buffer.alloc(4) });
    expect((await backend.readBytes(bytes.length)).equals(bytes)).toBe(true);
    expect(await backend.readBytes(empty.length)).toHaveLength(6);
    await client.sendFrame({ opcode: binary });
    await untilMetric(weir.adminUrl, 1, limited, { action: "delay" });
    await untilMetric(weir.adminUrl, 2, "weir_messages_total", { direction: "client_to_backend" });
  });
});

describe("a client whose message waits", () => {
  test("still hears its backend, and is sent its Close", async () => {
    const weir = await startLimited(endless);
    const { client, backend } = await weir.open("ann");
    await client.sendText("first");
    await client.sendText("second");
    expect(await backend.nextText()).toBe("first");
    await untilMetric(weir.adminUrl, 1, limited, { action: "delay" });
    await backend.sendText("hello");
    await backend.sendFrame({ opcode: ping, payload: "are you there" });
    expect(await client.nextText()).toBe("hello");
    expect(await client.nextFrame()).toMatchObject({ opcode: ping });
    await client.sendFrame({ opcode: pong, payload: "are you there" });
    await backend.sendClose(4_001, "enough");
    expect(await client.nextClose()).toEqual({ code: 4_001, reason: "enough" });
  });

  test.for([
    ["a whole message", { opcode: text, payload: "second" }],
    ["a message of which only the header comes", { opcode: binary, declaredLength: 2 ** 40 }],
  ] as const)("is drained like any other: %s", async ([, spec]) => {
    const weir = await startLimited(endless);
    const { client, backend } = await weir.open("ann");
    await client.sendText("first");
    await client.sendFrame(spec);
    expect(await backend.nextText()).toBe("first");
    await untilMetric(weir.adminUrl, 1, limited, { action: "delay" });
    await endByDrain(weir, { client, backend });
  });

  test("costs no more memory than one read: the rest stays with the client", async () => {
    const weir = await startLimited(endless);
    const { client, backend } = await weir.open("ann");
    const frame = encodeFrame({ opcode: binary, payload: Buffer.alloc(65_536), maskingKey: Buffer.alloc(4) });
    for (let i = 0; i < 512; i++) client.socket.write(frame);
    await backend.readBytes(frame.length);
    await untilMetric(weir.adminUrl, 1, limited, { action: "delay" });
    // By the time others have been served, the kernel's buffers are as full as they get.
    const other = await weir.open("bob");
    await other.client.sendText("to and");
    expect(await other.backend.nextText()).toBe("to and");
    await other.backend.sendText("fro");
    expect(await other.client.nextText()).toBe("fro");
    expect(client.socket.writableLength).toBeGreaterThan(8 * 1_024 * 1_024);
  });

  test("gives its token back when it dies: the next message of its user does not wait for it", async () => {
    const weir = await startLimited({
      tier: { messages: { rate: "1/h", burst: 2 } },
      limits: { maxDelay: "90m" },
    });
    for (let i = 0; i < 3; i++) {
      const { client, backend } = await weir.open("ann");
      if (i === 0) for (const payload of ["first", "second"]) await client.sendText(payload);
      await client.sendText("waits for an hour");
      await untilMetric(weir.adminUrl, i + 1, limited, { action: "delay" });
      backend.reset();
      expect(await client.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
      client.socket.destroy();
      await untilMetric(weir.adminUrl, 0, "weir_connections");
    }
  });
});

describe("a message that would wait longer than maxDelay", () => {
  test("ends the connection with 1008, and those before it have passed", async () => {
    const weir = await startLimited({ tier: { messages: { rate: "1/h", burst: 2 } } });
    const { client, backend } = await weir.open("ann");
    const frames = ["first", "second", "third"].map((payload) => client.encode({ opcode: text, payload }));
    await client.write(Buffer.concat(frames));
    expect(await backend.nextText()).toBe("first");
    expect(await backend.nextText()).toBe("second");
    expect(await client.nextClose()).toEqual({ code: 1008, reason: "message rate exceeded" });
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await client.sendClose(1008);
    await backend.sendClose(1001);
    await client.untilPeerState("fin");
    backend.finish();
    client.finish();
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", { reason: "rate", by: "weir", code: "1008" });
    await untilMetric(weir.adminUrl, 0, "weir_connections");
  });

  test("ends it also in the middle of a fragmented message: the goodbye is at a frame boundary", async () => {
    const weir = await startLimited({ tier: { messages: { rate: "1/h", burst: 1 } } });
    const { client, backend } = await weir.open("ann");
    await client.sendText("first");
    await client.sendFrame({ opcode: text, fin: false, payload: "the beginning" });
    expect(await backend.nextText()).toBe("first");
    expect(await client.nextClose()).toMatchObject({ code: 1008 });
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
  });
});
