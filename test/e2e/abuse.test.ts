// limits.abuse: a user whose messages are dropped too often loses all of its connections, and may not come
// back for a while.
import { describe, expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { limitedConfig, startLimited } from "../support/limited.ts";
import { setMainClockAhead } from "../support/main-clock.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import type { RelayedPair } from "../support/relay.ts";
import { accept, acceptUpgrade, type Script, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir } from "../support/start-weir.ts";

const messages = { rate: "1/h", burst: 2 };
const abuse = { violations: 10, window: "1m", ban: "5m" };
const dropping = { tier: { messages }, limits: { onExceed: "drop", abuse } };

const banned = { status: 429, code: "banned", message: "this user is banned for now" };

function isBan({ message }: { readonly message: string }): boolean {
  return message === "user banned for abuse";
}

async function send({ client }: RelayedPair, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await client.sendText(`message ${i}`);
}

function upgradeOf(user: string): string {
  return upgradeRequest({ lines: [`X-User-Id: ${user}`] });
}

/** Resolves when Weir has dealt with all that this client has sent so far. */
async function untilDealtWith({ client, backend }: RelayedPair): Promise<void> {
  await client.sendFrame({ opcode: opcodes.ping, payload: "so far" });
  while ((await backend.nextFrame()).payload.toString() !== "so far");
}

describe("a user whose messages are dropped too often", () => {
  test("is closed with 1008 on all connections, and banned", async () => {
    const weir = await startLimited(dropping);
    const pairs = [await weir.open("ann"), await weir.open("ann")];
    const [first, second] = pairs as [RelayedPair, RelayedPair];
    const other = await weir.open("bob");
    await send(first, 7);
    await untilDealtWith(first);
    await untilMetric(weir.adminUrl, 0, "weir_bans");
    await send(second, 5);
    for (const { client, backend } of pairs) {
      expect(await client.nextClose()).toEqual({ code: 1008, reason: "abuse" });
      expect((await lastFrame(backend)).opcode).toBe(opcodes.close);
      client.socket.destroy();
      backend.socket.destroy();
    }
    await untilMetric(weir.adminUrl, 2, "weir_closes_total", { reason: "abuse", by: "weir", code: "1008" });
    await untilMetric(weir.adminUrl, 1, "weir_bans");
    expect(await refusalOf(weir.url, upgradeOf("ann"))).toMatchObject(banned);
    const plain = "GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: ann\r\nConnection: close\r\n\r\n";
    expect(await refusalOf(weir.url, plain)).toMatchObject(banned);
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "banned" });
    expect(await isServed(other)).toBe(true);
    expect(await isServed(await weir.open("carl"))).toBe(true);
  });

  test("is one structured line in the log", async () => {
    const weir = await startLimited(dropping);
    const pair = await weir.open("ann");
    const frames = Array.from({ length: 40 }, () =>
      pair.client.encode({ opcode: opcodes.text, payload: "x" }),
    );
    await pair.client.write(Buffer.concat(frames));
    expect(await pair.client.nextClose()).toEqual({ code: 1008, reason: "abuse" });
    const { level, fields } = await weir.log.entry("the ban", isBan);
    expect(level).toBe("warn");
    expect(fields).toEqual({
      user: "ann",
      tier: "member",
      address: "127.0.0.1",
      route: "*/*",
      violations: 38,
      connections: 1,
      banMs: 300_000,
    });
    expect(weir.log.entries.filter(isBan)).toHaveLength(1);
  });

  test("may come back when the ban is over, and finds the bucket as it was", async () => {
    const weir = await startLimited(dropping);
    const pair = await weir.open("ann");
    await send(pair, 12);
    await untilMetric(weir.adminUrl, 1, "weir_bans");
    setMainClockAhead(4 * 60_000);
    expect(await refusalOf(weir.url, upgradeOf("ann"))).toMatchObject(banned);
    setMainClockAhead(6 * 60_000);
    await untilMetric(weir.adminUrl, 0, "weir_bans");
    const again = await weir.open("ann");
    await again.client.sendText("dropped");
    await untilMetric(weir.adminUrl, 11, "weir_messages_limited_total", { action: "drop" });
    await untilMetric(weir.adminUrl, 0, "weir_bans");
  });
});

test("a connection of the user that is still being dialled at the ban is closed as soon as it opens", async () => {
  const { promise: isBanned, resolve: letAccept } = Promise.withResolvers<void>();
  const acceptAfterBan: Script = async (connection) => {
    await isBanned;
    await acceptUpgrade(connection);
  };
  const server = await startScriptedBackend([accept(), acceptAfterBan]);
  const weir = await startWeir(JSON.stringify(limitedConfig([server.url], dropping)));
  const { connection: abusive } = await openRaw(weir.url, { lines: ["X-User-Id: ann"] });
  const opening = openRaw(weir.url, { lines: ["X-User-Id: ann"] });
  await server.connection(1);
  for (let i = 0; i < 12; i++) await abusive.sendText(`message ${i}`);
  expect(await abusive.nextClose()).toEqual({ code: 1008, reason: "abuse" });
  letAccept();
  const { connection } = await opening;
  expect(await connection.nextClose()).toEqual({ code: 1008, reason: "abuse" });
});

describe("no violation is", () => {
  test("a delayed message", async () => {
    const weir = await startLimited({
      tier: { messages: { rate: "500/s", burst: 1 } },
      limits: { onExceed: "delay", abuse: { ...abuse, violations: 1 } },
    });
    const pair = await weir.open("ann");
    await send(pair, 50);
    await untilDealtWith(pair);
    await untilMetric(weir.adminUrl, 0, "weir_bans");
    expect(await isServed(pair)).toBe(true);
  });

  test("a dropped message where abuse is off", async () => {
    const weir = await startLimited({ tier: { messages }, limits: { onExceed: "drop" } });
    const pair = await weir.open("ann");
    await send(pair, 500);
    await untilDealtWith(pair);
    await untilMetric(weir.adminUrl, 0, "weir_bans");
    expect(await isServed(pair)).toBe(true);
  });
});

async function isServed({ client, backend }: RelayedPair): Promise<boolean> {
  await backend.sendText("served");
  return (await client.nextText()) === "served";
}

async function lastFrame(backend: RelayedPair["backend"]): Promise<{ opcode: number }> {
  for (;;) {
    const frame = await backend.nextFrame();
    if (frame.opcode === opcodes.close) return frame;
  }
}
