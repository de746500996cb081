// Whose budget it is: one for all of a user's connections and over all threads, the tier's and the route's
// together, still the same after the user was away, and after a reload.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { limitedConfig, startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RelayedPair } from "../support/relay.ts";
import { accept, acceptUpgrade, type Script, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const limited = "weir_messages_limited_total";
const drop = { onExceed: "drop" };
const toBackend = { direction: "client_to_backend" };

/** No token comes back while a test runs. */
function burst(size: number): { rate: string; burst: number } {
  return { rate: "1/h", burst: size };
}

/** Sends so many texts; returns how many of them the backend got. */
async function passed({ client, backend }: RelayedPair, count: number): Promise<number> {
  for (let i = 0; i < count; i++) await client.sendText(`message ${i}`);
  await client.sendFrame({ opcode: opcodes.ping, payload: "the end" });
  for (let got = 0; ; got++) {
    const frame = await backend.nextFrame();
    if (frame.opcode === opcodes.ping) return got;
    expect(frame.payload.toString()).toBe(`message ${got}`);
  }
}

describe("a user", () => {
  test("has one budget over 24 connections on 3 threads", async () => {
    const echo = await startEchoBackend();
    const options = { tier: { messages: burst(10) }, limits: drop, config: { threads: 3 } };
    const weir = await startWeir(JSON.stringify(limitedConfig([echo.url], options)));
    const headers = { "X-User-Id": "ann" };
    const clients = await Promise.all(Array.from({ length: 24 }, () => openClient(weir.url, { headers })));
    await Promise.all(
      clients.flatMap((client) => [client.send("one"), client.send("two"), client.send("three")]),
    );
    await untilMetric(weir.adminUrl, 62, limited, { action: "drop" });
    await untilMetric(weir.adminUrl, 10, "weir_messages_total", toBackend);
    const other = await openClient(weir.url, { headers: { "X-User-Id": "bob" } });
    expect(await other.ask("another one's budget")).toBe("another one's budget");
  });

  test("finds the bucket as it was when coming back", async () => {
    const weir = await startLimited({ tier: { messages: burst(5) }, limits: drop });
    for (const [sent, expected] of [
      [3, 3],
      [1, 1],
      [9, 1],
      [1, 0],
    ] as const) {
      const pair = await weir.open("ann");
      expect(await passed(pair, sent)).toBe(expected);
      pair.client.socket.destroy();
      pair.backend.socket.destroy();
      await untilMetric(weir.adminUrl, 0, "weir_users");
    }
    expect(await passed(await weir.open("bob"), 9)).toBe(5);
  });

  test("finds the route's bucket as it was, too", async () => {
    const weir = await startLimited({ route: { messages: { ...burst(2), ...drop } } });
    expect(await passed(await weir.open("ann"), 1)).toBe(1);
    expect(await passed(await weir.open("ann"), 4)).toBe(1);
    expect(await passed(await weir.open("bob"), 4)).toBe(2);
  });

  test("in two tiers has a budget in each", async () => {
    const weir = await startLimited({
      limits: drop,
      config: { tiers: { member: { messages: burst(1), default: true }, vip: { messages: burst(3) } } },
    });
    const vip = { lines: ["X-User-Tier: vip"] };
    expect(await passed(await weir.open("ann"), 5)).toBe(1);
    expect(await passed(await weir.open("ann", vip), 5)).toBe(3);
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum(limited, { tier: "member" })).toBe(4);
    expect(metrics.sum(limited, { tier: "vip" })).toBe(2);
  });
});

describe("where tier and route both limit", () => {
  test("a message takes a token of each, or of neither", async () => {
    const weir = await startLimited({
      tier: { messages: burst(5) },
      limits: drop,
      config: {
        routes: [{ match: { path: "/game" }, pool: "chat", messages: burst(2) }, { pool: "chat" }],
      },
    });
    expect(await passed(await weir.open("ann", { path: "/game" }), 10)).toBe(2);
    // The eight that the route refused took nothing from the tier.
    expect(await passed(await weir.open("ann"), 10)).toBe(3);
    expect(await passed(await weir.open("ann", { path: "/game" }), 10)).toBe(0);
    const fresh = await weir.open("bob");
    expect(await passed(fresh, 10)).toBe(5);
    // Nor did what the tier refused take anything from the route.
    expect(await passed(await weir.open("bob", { path: "/game" }), 10)).toBe(0);
  });

  test("both hold a message back, and both let it go", async () => {
    const quick = { rate: "100/s", burst: 1 };
    const weir = await startLimited({ tier: { messages: quick }, route: { messages: quick } });
    expect(await passed(await weir.open("ann"), 20)).toBe(20);
  });
});

describe("a reload", () => {
  test("changes the limit of an open connection from its next message on; what was spent stays spent", async () => {
    const weir = await startLimited({ tier: { messages: burst(3) }, limits: drop });
    const pair = await weir.open("ann");
    expect(await passed(pair, 5)).toBe(3);
    await weir.reload({ tier: { messages: burst(5) }, limits: drop });
    expect(await passed(pair, 5)).toBe(2);
    await weir.reload({ tier: { messages: burst(5) }, limits: { onExceed: "close" } });
    await pair.client.sendText("one more");
    expect(await pair.client.nextClose()).toEqual({ code: 1008, reason: "message rate exceeded" });
  });

  test("limits open connections that were not limited, and lifts it again", async () => {
    const weir = await startLimited({ limits: drop });
    const pair = await weir.open("ann");
    expect(await passed(pair, 9)).toBe(9);
    await weir.reload({ tier: { messages: burst(2) }, limits: drop });
    // Its grant comes behind the news of the bucket on the same channel.
    await weir.open("bob");
    expect(await passed(pair, 9)).toBe(2);
    await weir.reload({ route: { messages: burst(4) }, limits: drop });
    await weir.open("bob");
    expect(await passed(pair, 9)).toBe(4);
    await weir.reload({});
    expect(await passed(pair, 9)).toBe(9);
  });

  test("limits a connection, too, that was being dialled at the time", async () => {
    const { promise: isReloaded, resolve: letAccept } = Promise.withResolvers<void>();
    const acceptAfterReload: Script = async (connection) => {
      await isReloaded;
      await acceptUpgrade(connection);
    };
    const server = await startScriptedBackend([acceptAfterReload, accept()]);
    const weir = await startWeir(JSON.stringify(limitedConfig([server.url], { limits: drop })));
    const opening = openRaw(weir.url, { lines: ["X-User-Id: ann"] });
    const backend = await server.connection(0);
    await weir.weir.reload(limitedConfig([server.url], { tier: { messages: burst(2) }, limits: drop }));
    // Its grant comes behind the news of the bucket, of which there is no connection yet to know.
    await openRaw(weir.url, { lines: ["X-User-Id: bob"] });
    letAccept();
    const { connection: client } = await opening;
    await untilMetric(weir.adminUrl, 2, "weir_connections");
    // So does this one, behind that of the opening.
    await openRaw(weir.url, { lines: ["X-User-Id: bob"] });
    expect(await passed({ client, backend }, 9)).toBe(2);
  });

  test("that takes a tier away makes its users the default tier's", async () => {
    const vip = { lines: ["X-User-Tier: vip"] };
    const weir = await startLimited({
      limits: drop,
      config: { tiers: { member: { messages: burst(1), default: true }, vip: { messages: burst(9) } } },
    });
    const pair = await weir.open("ann", vip);
    expect(await passed(pair, 1)).toBe(1);
    await weir.reload({ tier: { messages: burst(2) }, limits: drop });
    await weir.open("bob");
    expect(await passed(pair, 9)).toBe(1);
  });
});
