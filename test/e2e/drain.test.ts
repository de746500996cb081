// The shutdown step by step: a last time of service, the notice, the time to leave, and the goodbye of a
// process that its admin API was asked to end. What the goodbye does to each connection: shutdown.test.ts;
// what is under way in the process itself: drain-meanwhile.test.ts.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { ask } from "../support/http-client.ts";
import { startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const { text, continuation, ping } = opcodes;

const goodbye = { code: 1001, reason: "server shutting down" };
const draining = '{"type":"server_shutdown","seconds":{{graceSeconds}}}';
const notice = (seconds: number): string => `{"type":"server_shutdown","seconds":${seconds}}`;

/** Longer than any test: what ends before has not waited for it. */
const endless = "timeouts: { close: 1s, ping: off }\nshutdown: { readyDelay: 5m, timeout: 10m }";

describe("readyDelay", () => {
  test("is a time in which /readyz fails and everything is still served", async () => {
    const backend = await startEchoBackend();
    const weir = await spawnWeir(relayYaml([backend.url], endless));
    const before = await openClient(weir.url);
    weir.signal("SIGTERM");
    await weir.untilPrinted(/everything is still served/);
    expect((await ask(`${weir.adminUrl}/readyz`)).status).toBe(503);
    expect((await ask(`${weir.adminUrl}/healthz`)).status).toBe(200);
    expect((await scrape(weir.adminUrl)).sum("weir_draining")).toBe(1);
    const during = await openClient(weir.url);
    expect(await Promise.all([before.ask("a"), during.ask("b")])).toEqual(["a", "b"]);
    expect((await ask(weir.httpUrl)).status).toBe(200);
    await weir.untilPrinted(/"connections":2.*"msg":"draining"/);
    weir.signal("SIGTERM");
    expect((await weir.exited()).code).not.toBe(0);
  });

  test("ends in the goodbye", async () => {
    const yaml = "timeouts: { close: 1s, ping: off }\nshutdown: { readyDelay: 300ms }";
    const relay = await startRelay({ yaml });
    const { client, backend } = await relay.open();
    const drained = relay.weir.drain();
    expect(await client.nextClose()).toEqual(goodbye);
    client.reset();
    backend.reset();
    await drained;
    await expect(connectRaw(relay.url)).rejects.toThrow("ECONNREFUSED");
  });
});

describe("upgrades that wait as the drain begins", () => {
  const queue = { size: 5, timeout: "5m" };
  const upgrades = { rate: "1/h", burst: 1, queue: 5, timeout: "5m" };
  test.for([
    ["for a slot", { queue }, {}],
    ["for their turn", {}, { upgrades }],
  ] as const)("%s are answered with 503", async ([, pool, limits]) => {
    const { url } = await startEchoBackend();
    const config = {
      threads: 1,
      listeners: ["127.0.0.1:0"],
      admin: { bind: "127.0.0.1:0" },
      timeouts: { ping: "off" },
      limits,
      pools: { chat: { healthCheck: "off", ...pool, backends: [{ url, capacity: 1 }] } },
    };
    const weir = await spawnWeir(JSON.stringify(config));
    const inside = await openClient(weir.url);
    const waiting = openRaw(weir.url);
    await untilMetric(weir.adminUrl, 1, "weir_queue_length");
    weir.signal("SIGTERM");
    await expect(waiting).rejects.toThrow(/503/);
    expect(await inside.closed()).toEqual(goodbye);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });
});

describe("notices.draining", () => {
  const patient = {
    timeouts: { ping: "off", close: "60s" },
    shutdown: { grace: "5m", spread: "0s", timeout: "10m" },
  };
  const route = { notices: { draining, subprotocols: ["chat.v1"] } };

  test("tells each client how long it has, and who leaves by itself ends the grace", async () => {
    const weir = await startLimited({ route, config: patient });
    const pairs = [await weir.open("ann"), await weir.open("bob")];
    const drained = weir.weir.drain();
    for (const { client, backend } of pairs) {
      expect(await client.nextText()).toBe(notice(300));
      // All goes on meanwhile.
      await client.sendText("so long");
      expect(await backend.nextText()).toBe("so long");
      await client.sendClose(1000, "bye");
      expect(await backend.nextClose()).toEqual({ code: 1000, reason: "bye" });
      await backend.sendClose(1000, "bye");
      expect(await client.nextClose()).toEqual({ code: 1000, reason: "bye" });
      client.finish();
      backend.finish();
    }
    await drained;
  });

  test.for([
    ["is not sent with a subprotocol that is not listed", "graphql-transport-ws", []],
    ["is sent with a subprotocol that is listed", "chat.v1", [notice(0)]],
  ] as const)("%s", async ([, protocol, texts]) => {
    const config = { ...patient, shutdown: { spread: "0s" } };
    const weir = await startLimited({ route, protocol, config });
    const { client, backend } = await weir.open("ann", { protocols: [protocol] });
    const drained = weir.weir.drain();
    for (const each of texts) expect(await client.nextText()).toBe(each);
    expect(await client.nextClose()).toEqual(goodbye);
    client.reset();
    backend.reset();
    await drained;
  });

  test("waits for the end of the backend's message; the goodbye comes behind it", async () => {
    const config = { ...patient, shutdown: { spread: "0s" } };
    const weir = await startLimited({ route, config });
    const { client, backend } = await weir.open("ann");
    await backend.sendFrame({ opcode: text, fin: false, payload: "a long " });
    expect(await client.nextFrame()).toMatchObject({ opcode: text, fin: false });
    const bystander = await weir.open("bob");
    const drained = weir.weir.drain();
    expect(await bystander.client.nextText()).toBe(notice(0));
    expect(await bystander.client.nextClose()).toEqual(goodbye);
    bystander.client.reset();
    bystander.backend.reset();
    await backend.sendFrame({ opcode: ping, payload: "between" });
    expect(await client.nextFrame()).toMatchObject({ opcode: ping });
    const last = backend.encode({ opcode: continuation, payload: "message" });
    const next = backend.encode({ opcode: text, payload: "too late" });
    await backend.write(Buffer.concat([last, next]));
    expect(await client.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
    expect(await client.nextText()).toBe(notice(0));
    expect(await client.nextClose()).toEqual(goodbye);
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    client.reset();
    backend.reset();
    await drained;
  });
});

describe("POST /api/drain", () => {
  test("is answered at once, says goodbye to everyone, and ends the process with 0", async () => {
    const backend = await startEchoBackend();
    const weir = await spawnWeir(relayYaml([backend.url]));
    const client = await openClient(weir.url);
    const { status, body } = await ask(`${weir.adminUrl}/api/drain`, { method: "POST" });
    expect([status, JSON.parse(body.toString())]).toEqual([202, { draining: true }]);
    expect(await client.closed()).toEqual(goodbye);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("twice is once, and a first signal joins it; a second one exits at once", async () => {
    const backend = await startEchoBackend();
    const yaml = "timeouts: { close: 60s, ping: off }\nshutdown: { timeout: 2m }";
    const weir = await spawnWeir(relayYaml([backend.url], yaml));
    const { connection } = await openRaw(weir.url);
    const api = `${weir.adminUrl}/api/drain`;
    expect((await ask(api, { method: "POST" })).status).toBe(202);
    expect((await ask(api, { method: "POST" })).status).toBe(202);
    expect(await connection.nextClose()).toEqual(goodbye);
    weir.signal("SIGTERM");
    // Still there: it says every second who is left.
    const progress = (): number => weir.stdout.split('"msg":"draining"').length;
    const before = progress();
    await until("another line of progress", () => progress() > before + 1);
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 143, signal: null });
  });

  test("is a POST", async () => {
    const relay = await startRelay();
    expect((await ask(`${relay.adminUrl}/api/drain`)).status).toBe(405);
    expect((await ask(`${relay.adminUrl}/readyz`)).status).toBe(200);
  });
});
