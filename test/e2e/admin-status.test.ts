// GET /api/status: the figures of the whole agree with what was done.
import { expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

async function statusOf(adminUrl: string): Promise<Status> {
  const { status, body } = await ask(`${adminUrl}/api/status`);
  expect(status).toBe(200);
  return JSON.parse(body.toString()) as Status;
}

const tiers = {
  vip: { maxConnections: 10, priority: "high" },
  guest: { messages: { rate: "1/m", burst: 2 }, default: true },
};

test("says who Weir is, how it is, and what is open against which cap", async () => {
  const backend = await startEchoBackend();
  const before = Date.now();
  const weir = await startInFrontOf(
    { id: "a", url: backend.url, capacity: 7 },
    { config: { tiers, limits: { maxConnections: 50 }, identity: { tier: [{ header: "x-tier" }] } } },
  );
  const fresh = await statusOf(weir.adminUrl);
  expect(fresh).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    ready: true,
    draining: false,
    connections: { open: 0, limit: 50 },
    tiers: [
      { name: "vip", open: 0, limit: 10, priority: "high", default: false },
      { name: "guest", open: 0, limit: null, priority: "normal", default: true },
    ],
    upgrades: { accepted: 0, refused: 0 },
    threads: { count: 1, restarts: 0 },
    users: { known: 0, banned: 0 },
    config: { lastReload: { successful: true } },
    tap: { listeners: 0 },
  });
  expect(Date.parse(fresh.startedAt)).toBeGreaterThanOrEqual(before);
  expect(Date.parse(fresh.time)).toBeGreaterThanOrEqual(Date.parse(fresh.startedAt));
  expect(fresh.memory.rssBytes).toBeGreaterThan(0);
  expect(fresh.memory.limitBytes).toBeGreaterThan(fresh.memory.rssBytes);
  await openClient(weir.url, { headers: { "X-Tier": "vip" } });
  const status = await until("the connection is counted", async () => {
    const now = await statusOf(weir.adminUrl);
    return now.connections.open === 1 && now;
  });
  expect(status.tiers.map(({ name, open }) => [name, open])).toEqual([
    ["vip", 1],
    ["guest", 0],
  ]);
  expect(status.users.known).toBe(1);
  expect(status.upgrades.accepted).toBe(1);
  const { body } = await ask(`${weir.adminUrl}/api/pools`);
  expect({ pools: status.pools }).toEqual(JSON.parse(body.toString()));
  expect(status.pools[0]?.backends[0]).toMatchObject({ id: "a", connections: 1, capacity: 7 });
});

test("counts messages, bytes, limited messages and refusals, in all and per second", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, {
    config: {
      tiers: { everyone: { ...tiers.guest, maxConnectionsPerUser: 1 } },
      limits: { onExceed: "drop" },
    },
  });
  const client = await openClient(weir.url);
  await expectRefusal(weir.url);
  for (const text of ["one", "two"]) await client.ask(text);
  await client.send("one too many");
  const status = await until("all is counted", async () => {
    const now = await statusOf(weir.adminUrl);
    return now.totals.limited.drop === 1 && now.upgrades.refused === 1 && now;
  });
  expect(status.totals.messages).toEqual({ clientToBackend: 2, backendToClient: 2 });
  // Three bytes of payload, two of header, and the client's masking key of four.
  expect(status.totals.bytes).toEqual({ clientToBackend: 18, backendToClient: 10 });
  expect(status.totals.limited).toEqual({ delay: 0, drop: 1, close: 0, log: 0 });
  expect(status.upgrades).toEqual({ accepted: 1, refused: 1 });
  await reloadInFrontOf(weir, backend.url, { config: { tiers: { everyone: { default: true } } } });
  await until("a sample holds messages", async () => {
    // A sample is replaced by the next: as long as none was seen, there are messages for that one.
    await client.ask("one more");
    const { perSecond } = await statusOf(weir.adminUrl);
    return perSecond.messages.backendToClient > 0 && perSecond.bytes.clientToBackend > 0;
  });
  await until("nothing has passed for a second", async () => {
    const { perSecond } = await statusOf(weir.adminUrl);
    return perSecond.messages.backendToClient === 0 && perSecond.bytes.clientToBackend === 0;
  });
});

test("says that Weir drains", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  await weir.weir.drain();
  expect(await statusOf(weir.adminUrl)).toMatchObject({ ready: false, draining: true });
});
