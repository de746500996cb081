// `pools.NAME.queue`: upgrades that wait for a slot of a pool that is full.
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { limitedConfig } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { readRefusal } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

async function startFull(queue: object): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  const entry = { id: "a", url: backend.url, capacity: 1 };
  return startInFrontOf(entry, { pool: { queue }, config: { threads: 2 } });
}

test("an upgrade waits while the pool is full, and is served when a slot frees", async () => {
  const weir = await startFull({ size: 10, timeout: "1m" });
  const holder = await openClient(weir.url);
  const waiting = openClient(weir.url);
  await untilMetric(weir.adminUrl, 1, "weir_queue_length", { queue: "pool:chat" });
  await holder.close(1000);
  expect(await (await waiting).ask("served")).toBe("served");
  await untilMetric(weir.adminUrl, 0, "weir_queue_length", { queue: "pool:chat" });
  await untilMetric(weir.adminUrl, 1, "weir_queue_wait_seconds_count", { queue: "pool:chat" });
});

test("one for whom there is no place to wait, or no time left, is refused with 503 backends_full", async () => {
  const weir = await startFull({ size: 1, timeout: "100ms" });
  await openClient(weir.url);
  const answers = await Promise.all([expectRefusal(weir.url), expectRefusal(weir.url)]);
  for (const answer of answers) expect(answer).toMatchObject({ status: 503 });
  await untilMetric(weir.adminUrl, 2, "weir_upgrades_total", { result: "backends_full" });
  await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { backend: "a" });
});

describe("in the waiting room of a full pool", () => {
  test("a slot goes to the highest tier, then to who came first", async () => {
    const room = await startRoom({ size: 10, timeout: "1m" });
    let holder = await room.knock("first", "normal");
    await holder.readHead();
    const knocks = ["guest-1", "normal-1", "vip-1", "guest-2", "normal-2", "vip-2"];
    const clients = new Map<string, RawConnection>();
    for (const [i, user] of knocks.entries()) {
      clients.set(user, await room.knock(user, user.split("-")[0]));
      await room.untilWaiting(i + 1);
    }
    const served: unknown[] = [];
    for (let turn = 1; turn <= knocks.length; turn++) {
      holder.reset();
      const upgrade = await until(
        `the slot goes to the next, turn ${turn}`,
        () => room.backend.upgrades[turn],
      );
      const user = String(upgrade.headers["x-weir-user"]);
      served.push(user);
      holder = clients.get(user) ?? holder;
      expect((await holder.readHead()).status).toBe(101);
    }
    expect(served).toEqual(["vip-1", "vip-2", "normal-1", "normal-2", "guest-1", "guest-2"]);
    await untilEqual("connections of the backend", 1, () => room.backend.openConnections);
  });

  test("clients that hang up leave no trace, whatever their place, and make room for others", async () => {
    const room = await startRoom({ size: 3, timeout: "1m" });
    const holder = await room.knock("holder", "normal");
    await holder.readHead();
    const [first, second, third] = [await room.knock("a"), await room.knock("b"), await room.knock("c")];
    await room.untilWaiting(3);
    await expectRefusal(room.url);
    first.reset();
    third.finish();
    await room.untilWaiting(1);
    await untilMetric(room.adminUrl, 2, "weir_upgrades_total", { result: "client_gone" });
    await untilMetric(room.adminUrl, 2, "weir_users");
    const fourth = await room.knock("d");
    await room.untilWaiting(2);
    second.reset();
    await room.untilWaiting(1);
    holder.reset();
    expect((await fourth.readHead()).status).toBe(101);
    expect(room.backend.upgrades.map(({ headers }) => headers["x-weir-user"])).toEqual(["holder", "d"]);
    fourth.reset();
    await untilMetric(room.adminUrl, 0, "weir_backend_connections");
    await untilMetric(room.adminUrl, 0, "weir_users");
  });

  test("one whose time is over is told when to come back, and those behind it still get the slot", async () => {
    const room = await startRoom({ size: 3, timeout: "300ms" });
    const holder = await room.knock("holder");
    await holder.readHead();
    const late = await room.knock("late");
    const refusal = await readRefusal(late);
    expect(refusal).toMatchObject({ status: 503, code: "backends_full" });
    expect(refusal.head.header("retry-after")).toMatch(/^\d+$/);
    await room.untilWaiting(0);
    await room.reload({ size: 3, timeout: "1m" });
    const next = await room.knock("next");
    await room.untilWaiting(1);
    holder.reset();
    expect((await next.readHead()).status).toBe(101);
  });

  test("those who wait get the room that an operator or a reload makes", async () => {
    const room = await startRoom({ size: 10, timeout: "1m" });
    await (await room.knock("holder")).readHead();
    const [first, second] = [await room.knock("a"), await room.knock("b")];
    await room.untilWaiting(2);
    await fetch(`${room.adminUrl}/api/pools/chat/backends/a`, { method: "PUT", body: '{"capacity":2}' });
    expect((await first.readHead()).status).toBe(101);
    await room.untilWaiting(1);
    await fetch(`${room.adminUrl}/api/pools/chat/backends/a`, { method: "PUT", body: '{"capacity":null}' });
    await room.reload({ size: 10, timeout: "1m" }, 3);
    expect((await second.readHead()).status).toBe(101);
  });

  test("those who wait are refused where a reload takes the queue away, and at the shutdown", async () => {
    const room = await startRoom({ size: 10, timeout: "1m" });
    await (await room.knock("holder")).readHead();
    const before = await room.knock("a");
    await room.untilWaiting(1);
    await room.reload("off");
    expect(await readRefusal(before)).toMatchObject({ status: 503, code: "backends_full" });
    await room.reload({ size: 10, timeout: "1m" });
    const last = await room.knock("b");
    await room.untilWaiting(1);
    void room.weir.drain();
    expect(await readRefusal(last)).toMatchObject({ status: 503, code: "draining" });
  });
});

interface Room extends StartedWeir {
  readonly backend: EchoBackend;
  /** Sends an upgrade and does not wait for its answer. */
  knock(user: string, tier?: string): Promise<RawConnection>;
  untilWaiting(count: number): Promise<void>;
  reload(queue: unknown, capacity?: number): Promise<void>;
}

/** One backend with one slot, and three tiers. */
async function startRoom(queue: unknown): Promise<Room> {
  const backend = await startEchoBackend({ id: "a" });
  const config = (queueKeys: unknown, capacity: number) =>
    limitedConfig([{ id: "a", url: backend.url, capacity }], {
      pool: { queue: queueKeys },
      config: { tiers },
    });
  const weir = await startWeir(JSON.stringify(config(queue, 1)));
  return Object.assign(weir, {
    backend,
    knock: async (user: string, tier = "normal") => {
      const client = await connectRaw(weir.url);
      await client.write(upgradeRequest({ lines: [`X-User-Id: ${user}`, `X-User-Tier: ${tier}`] }));
      return client;
    },
    untilWaiting: (count: number) =>
      untilMetric(weir.adminUrl, count, "weir_queue_length", { queue: "pool:chat" }),
    reload: (queueKeys: unknown, capacity = 1) => weir.weir.reload(config(queueKeys, capacity)),
  });
}

const tiers = {
  normal: { default: true },
  vip: { priority: "high" },
  guest: { priority: "low" },
};
