// The limits on open connections that only time can break: silence of both, an age, a peer that reads nothing.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes, parseClose } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { type Relay, relayYaml, startRelay } from "../support/relay.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { startWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const { binary, ping, pong } = opcodes;

/** Keys of `timeouts`, with a patience in closing that no test gets by on. */
function yaml(timeouts: string): string {
  return `timeouts: { ping: off, close: 60s, ${timeouts} }`;
}

async function expectCounted(relay: Relay, reason: string, code: string, by = "weir"): Promise<void> {
  await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason, by, code });
  await untilMetric(relay.adminUrl, 0, "weir_connections");
}

describe("timeouts.idle", () => {
  test("ends a connection on which neither peer sends a frame; Weir's own pings and their pongs are none", async () => {
    const relay = await startRelay({
      yaml: "timeouts: { ping: { interval: 100ms, timeout: 60s }, close: 60s, idle: 1s }",
    });
    const { client, backend } = await relay.open();
    let answered = 0;
    let frame = await client.nextFrame();
    for (; frame.opcode === ping; frame = await client.nextFrame()) {
      answered += 1;
      await client.sendFrame({ opcode: pong, payload: frame.payload });
    }
    expect(parseClose(frame)).toEqual({ code: 1001, reason: "idle timeout" });
    expect(answered).toBeGreaterThan(2);
    let toBackend = await backend.nextFrame();
    while (toBackend.opcode === ping) toBackend = await backend.nextFrame();
    expect(parseClose(toBackend)).toEqual({ code: 1001, reason: "" });
    await client.sendClose(1001);
    await backend.sendClose(1001);
    client.finish();
    backend.finish();
    await expectCounted(relay, "idle", "1001");
  });

  test("spares one on which one of the peers sends something, and ends it after that", async () => {
    const relay = await startRelay({
      yaml: "timeouts: { ping: { interval: 100ms, timeout: 60s }, close: 60s, idle: 1s }",
    });
    const { client, backend } = await relay.open();
    let pings = 0;
    // Weir's pings to the silent client tell the time: 25 take more than twice as long as it may be idle.
    for (;;) {
      const frame = await client.nextFrame();
      if (frame.opcode === opcodes.close) break;
      if (frame.opcode !== ping) continue;
      await client.sendFrame({ opcode: pong, payload: frame.payload });
      pings += 1;
      if (pings <= 25) await backend.sendText("news");
    }
    expect(pings).toBeGreaterThan(25);
  });

  test("reaches open connections by a reload", async () => {
    const weir = await startLimited({});
    const { client } = await weir.open("ann");
    await weir.reload({ config: { timeouts: { ping: "off", close: "60s", idle: "100ms" } } });
    expect(await client.nextClose()).toEqual({ code: 1001, reason: "idle timeout" });
  });
});

describe("timeouts.maxConnectionAge", () => {
  test("ends a connection however busy it is, with 1012", async () => {
    const relay = await startRelay({ yaml: yaml("maxConnectionAge: { max: 1s, jitter: 20% }") });
    const { client, backend } = await relay.open();
    for (;;) {
      await client.sendText("busy");
      const frame = await backend.nextFrame();
      if (frame.opcode === opcodes.close) break;
      expect(frame.payload.toString()).toBe("busy");
    }
    expect(await client.nextClose()).toEqual({ code: 1012, reason: "connection age" });
    await client.sendClose(1012);
    await backend.sendClose(1001);
    client.finish();
    backend.finish();
    await expectCounted(relay, "age", "1012");
  });

  test("brings users to a backend that was added, though they belong to another", async () => {
    const backends = [await startEchoBackend({ id: "old" }), await startEchoBackend({ id: "added" })];
    const [old, added] = backends.map(({ id, url }) => ({ id, url }));
    if (old === undefined || added === undefined) throw new Error("there are two");
    const options = {
      pool: { affinity: { by: "user" } },
      config: {
        identity: { user: [{ header: "x-user-id" }] },
        timeouts: { ping: "off", maxConnectionAge: { max: "2s", jitter: "50%" } },
      },
    };
    const weir = await startInFrontOf(old, options);
    const users = Array.from({ length: 6 }, (_, i) => ({ headers: { "X-User-Id": `user-${i}` } }));
    const clients = await Promise.all(users.map((user) => openClient(weir.url, user)));
    await reloadInFrontOf(weir, [old, added], options);
    const back = await Promise.all(
      clients.map(async (client, i) => {
        expect(await client.closed()).toEqual({ code: 1012, reason: "connection age" });
        return (await openClient(weir.url, users[i])).backendId;
      }),
    );
    // The first of them finds nobody there.
    expect(back).toContain("added");
  });
});

describe("timeouts.slowConsumer", () => {
  const payload = Buffer.alloc(1 << 20, 7);

  test("cuts a client that reads nothing while data waits; the backend gets 1001", async () => {
    const relay = await startRelay({ yaml: yaml("slowConsumer: 500ms") });
    const { client, backend } = await relay.open();
    client.pause();
    // More than all buffers on the way take; what is left of it ends with the socket.
    for (let i = 0; i < 32; i += 1) backend.socket.write(backend.encode({ opcode: binary, payload }));
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    backend.socket.destroy();
    await expectCounted(relay, "slow_consumer", "1006", "client");
  });

  test("cuts a backend that reads nothing: the client gets 1012", async () => {
    const relay = await startRelay({ yaml: yaml("slowConsumer: 500ms") });
    const { client, backend } = await relay.open();
    backend.pause();
    for (let i = 0; i < 32; i += 1) client.socket.write(client.encode({ opcode: binary, payload }));
    expect(await client.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
    client.socket.destroy();
    await expectCounted(relay, "backend_lost", "1006", "backend");
  });
});

test("ws clients and backends answer Weir's pings by themselves, and see none of each other's", async () => {
  const backend = await startEchoBackend();
  const yaml = relayYaml([backend.url], "timeouts: { ping: { interval: 100ms, timeout: 60s } }");
  const { url, adminUrl } = await startWeir(yaml);
  const client = await openClient(url);
  const pongs: string[] = [];
  client.socket.on("pong", (data) => void pongs.push(data.toString()));
  await until("both sides have answered ten times", async () => {
    const found = await scrape(adminUrl);
    return ["client", "backend"].every(
      (side) => found.sum("weir_round_trip_seconds_count", { pool: "chat", side }) >= 10,
    );
  });
  client.socket.ping("mine");
  await client.send("hello");
  expect(await client.nextText()).toBe("hello");
  expect(pongs).toEqual(["mine"]);
});
