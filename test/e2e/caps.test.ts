// How many connections there may be: exact whoever races for the last slot, and given back whatever ended a
// connection.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { type Limits, limitedConfig, startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import type { RelayedPair } from "../support/relay.ts";
import { accept, answer, neverAnswer, resetAt, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const RACERS = 60;

/** Four threads, so that the racers for one slot are on all of them. */
async function startRace(options: Limits): Promise<StartedWeir> {
  const echo = await startEchoBackend();
  const config = { threads: 4, ...options.config };
  return startWeir(JSON.stringify(limitedConfig([echo.url], { ...options, config })));
}

/** All at once; how many came to what. */
async function race(url: string, headersOf: (racer: number) => Record<string, string>): Promise<object> {
  const racers = Array.from({ length: RACERS }, (_, i) =>
    openClient(url, { headers: headersOf(i) }).then(
      () => "open",
      (error: unknown) =>
        /refused the upgrade: (\d+) \{"error":"(\w+)"/.exec(String(error))?.slice(1).join(" "),
    ),
  );
  const outcomes: Record<string, number> = {};
  for (const outcome of await Promise.all(racers))
    outcomes[outcome ?? "?"] = (outcomes[outcome ?? "?"] ?? 0) + 1;
  return outcomes;
}

describe("connections that race for the last slots, on four threads,", () => {
  test("get exactly limits.maxConnections", async () => {
    const weir = await startRace({ limits: { maxConnections: 13 } });
    const outcomes = await race(weir.url, (i) => ({ "X-User-Id": `user-${i}` }));
    expect(outcomes).toEqual({ open: 13, "503 connections_full": RACERS - 13 });
    await untilMetric(weir.adminUrl, 13, "weir_connections");
    await untilMetric(weir.adminUrl, 13, "weir_users");
  });

  test("get exactly their tier's maxConnections, and take none from another tier", async () => {
    const tiers = { member: { maxConnections: 7, default: true }, vip: { maxConnections: 11 }, free: {} };
    const weir = await startRace({ config: { tiers } });
    const outcomes = await race(weir.url, (i) => ({
      "X-User-Id": `user-${i}`,
      "X-User-Tier": Object.keys(tiers)[i % 3] ?? "",
    }));
    const third = RACERS / 3;
    expect(outcomes).toEqual({ open: 7 + 11 + third, "503 tier_full": third - 7 + third - 11 });
    for (const [tier, count] of Object.entries({ member: 7, vip: 11, free: third })) {
      await untilMetric(weir.adminUrl, count, "weir_connections", { tier });
    }
    const limits = (await scrape(weir.adminUrl)).matching("weir_connections_limit");
    const capOf = Object.fromEntries(limits.map(({ labels, value }) => [labels["tier"], value]));
    expect(capOf).toMatchObject({ member: 7, vip: 11 });
    expect(Object.keys(capOf).toSorted()).toEqual(["all", "member", "vip"]);
    await untilMetric(weir.adminUrl, third * 2 - 18, "weir_upgrades_total", { result: "tier_full" });
  });

  test("get exactly maxConnectionsPerUser, each user its own", async () => {
    const weir = await startRace({ tier: { maxConnectionsPerUser: 4 } });
    const outcomes = await race(weir.url, (i) => ({ "X-User-Id": i % 4 === 0 ? "ann" : "bob" }));
    expect(outcomes).toEqual({ open: 8, "429 user_full": RACERS - 8 });
    await untilMetric(weir.adminUrl, 2, "weir_users");
    expect(await refusalOf(weir.url, upgradeRequest({ lines: ["X-User-Id: ann"] }))).toMatchObject({
      status: 429,
      code: "user_full",
      message: "this user has as many connections as its tier allows",
    });
  });
});

test("three thousand that race for one slot, four threads and no user or tier at all, get one", async () => {
  const timeouts = { ping: "off", handshake: "60s" };
  const weir = await startRace({ limits: { maxConnections: 1 }, config: { timeouts } });
  const racers = Array.from({ length: 3_000 }, async () => {
    const client = await connectRaw(weir.url);
    await client.write(upgradeRequest());
    return (await client.readHead()).status;
  });
  const statuses = await Promise.all(racers);
  expect(statuses.filter((status) => status === 101)).toHaveLength(1);
  expect(statuses.filter((status) => status === 503)).toHaveLength(2_999);
  await untilMetric(weir.adminUrl, 2_999, "weir_upgrades_total", { result: "connections_full" });
});

/** However a connection ends that was open. */
const ends: Readonly<Record<string, (pair: RelayedPair) => Promise<void> | void>> = {
  "a closing handshake": async ({ client, backend }) => {
    await client.sendClose(1000);
    await backend.nextClose();
    await backend.sendClose(1000);
    await client.untilPeerState("fin");
  },
  "the client's FIN": ({ client }) => client.finish(),
  "the client's RST": ({ client }) => client.reset(),
  "the backend's FIN": ({ backend }) => backend.finish(),
  "the backend's RST": ({ backend }) => backend.reset(),
  "the client's protocol error": ({ client }) => client.write(Buffer.of(0xff, 0xff)),
  "the backend's protocol error": ({ backend }) => backend.write(Buffer.of(0xff, 0xff)),
  "a message too big": ({ client }) => client.sendFrame({ opcode: opcodes.text, payload: "x".repeat(2_000) }),
};

const one = { tier: { maxConnectionsPerUser: 1 }, limits: { maxMessageSize: "1KiB" } };
const asAnn = upgradeRequest({ lines: ["X-User-Id: ann"] });

describe("a slot is given back", () => {
  test.for(Object.keys(ends))("after %s", async (what) => {
    const weir = await startLimited(one);
    const pair = await weir.open("ann");
    expect(await refusalOf(weir.url, asAnn)).toMatchObject({ code: "user_full" });
    await ends[what]?.(pair);
    for (const { socket } of [pair.client, pair.backend]) socket.end();
    await untilMetric(weir.adminUrl, 0, "weir_users");
    await weir.open("ann");
    expect(await refusalOf(weir.url, asAnn)).toMatchObject({ code: "user_full" });
  });

  test.for([
    ["is reset", resetAt("head"), "backend_failed", {}],
    ["is answered 403", answer({ status: 403 }), "backend_refused", {}],
    ["is not answered in time", neverAnswer(), "backend_timeout", { backendHandshake: "100ms" }],
  ] as const)("after a dial that %s", async ([, script, result, timeouts]) => {
    const server = await startScriptedBackend([script, accept()]);
    const config = { timeouts };
    const weir = await startWeir(JSON.stringify(limitedConfig([server.url], { ...one, config })));
    const client = await connectRaw(weir.url);
    await client.write(asAnn);
    expect((await client.readHead()).status).toBeGreaterThanOrEqual(400);
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result });
    await untilMetric(weir.adminUrl, 0, "weir_users");
    // The one that accepts has all the time that it needs.
    await weir.weir.reload(limitedConfig([server.url], one));
    await openRaw(weir.url, { lines: ["X-User-Id: ann"] });
    expect(await refusalOf(weir.url, asAnn)).toMatchObject({ code: "user_full" });
  });

  test("to a client that leaves and is back at once, on whichever of four threads", async () => {
    const weir = await startRace({ limits: { maxConnections: 1 } });
    for (let round = 0; round < 20; round += 1) await (await openClient(weir.url)).close(1_000);
    expect((await scrape(weir.adminUrl)).sum("weir_upgrades_total", { result: "ok" })).toBe(20);
  });

  test("of a client that leaves while its backend is dialled", async () => {
    const server = await startScriptedBackend([neverAnswer(), accept()]);
    const weir = await startWeir(JSON.stringify(limitedConfig([server.url], one)));
    const client = await connectRaw(weir.url);
    await client.write(asAnn);
    await server.connection(0);
    expect(await refusalOf(weir.url, asAnn)).toMatchObject({ code: "user_full" });
    client.socket.destroy();
    await untilMetric(weir.adminUrl, 0, "weir_users");
    await openRaw(weir.url, { lines: ["X-User-Id: ann"] });
  });

  test("after the death of the worker thread", async () => {
    const weir = await startRace({ tier: { maxConnections: 20, maxConnectionsPerUser: 20 } });
    const asBob = { "X-User-Id": "bob" };
    expect(await race(weir.url, () => asBob)).toEqual({ open: 20, "503 tier_full": RACERS - 20 });
    for (let index = 0; index < 4; index++) await weir.weir.workers.kill(index);
    await untilMetric(weir.adminUrl, 0, "weir_users");
    await until("four threads serve again", () => {
      return weir.log.entries.filter(({ message }) => message === "worker thread serves again").length === 4;
    });
    expect(await race(weir.url, () => asBob)).toEqual({ open: 20, "503 tier_full": RACERS - 20 });
  });
});

test("a reload changes the caps for the next connection, and closes none", async () => {
  const weir = await startLimited({ tier: { maxConnectionsPerUser: 3 } });
  const pairs = [await weir.open("ann"), await weir.open("ann"), await weir.open("ann")];
  await weir.reload({ tier: { maxConnectionsPerUser: 1 } });
  for (const { client, backend } of pairs) {
    await client.sendText("still open");
    expect(await backend.nextText()).toBe("still open");
  }
  pairs[0]?.client.reset();
  pairs[0]?.backend.socket.destroy();
  await untilMetric(weir.adminUrl, 2, "weir_connections");
  expect(await refusalOf(weir.url, asAnn)).toMatchObject({ code: "user_full" });
  await weir.reload({});
  await weir.open("ann");
});
