// limits.upgrades: a reconnect storm reaches the backends as a stream. Who is above the pace waits for its
// 101, in order, for a while, and not among too many.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { type Limits, limitedConfig } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { readRefusal, refusalOf } from "../support/refusal.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const tiers = {
  normal: { maxConnectionsPerUser: 3, default: true },
  vip: { priority: "high" },
  guest: { priority: "low" },
};
const queue = { queue: "upgrades" };

interface Paced extends StartedWeir {
  readonly backend: Awaited<ReturnType<typeof startEchoBackend>>;
  reload(upgrades: unknown): Promise<void>;
  /** Sends an upgrade and does not wait for its answer. */
  knock(user: string, tier?: string): Promise<RawConnection>;
}

async function startPaced(upgrades: unknown): Promise<Paced> {
  const backend = await startEchoBackend();
  const config = (limits: Limits["limits"]) =>
    limitedConfig([backend.url], { config: { tiers }, ...(limits && { limits }) });
  const started = await startWeir(JSON.stringify(config({ upgrades })));
  const knock = async (user: string, tier = "normal"): Promise<RawConnection> => {
    const client = await connectRaw(started.url);
    await client.write(upgradeRequest({ lines: [`X-User-Id: ${user}`, `X-User-Tier: ${tier}`] }));
    return client;
  };
  const reload = (value: unknown) => started.weir.reload(config({ upgrades: value }));
  return Object.assign(started, { backend, reload, knock });
}

/** Users in the order in which the backend was asked for them. */
function usersAt({ upgrades }: Paced["backend"]): unknown[] {
  return upgrades.map(({ headers }) => headers["x-weir-user"]);
}

describe("new connections above the pace", () => {
  test("wait for their 101: the backend is asked for no more than the burst", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 5 });
    const clients = await Promise.all(Array.from({ length: 30 }, (_, i) => weir.knock(`user-${i}`)));
    await untilMetric(weir.adminUrl, 25, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 5, "weir_connections");
    expect(weir.backend.upgrades).toHaveLength(5);
    await weir.reload("off");
    for (const client of clients) expect((await client.readHead()).status).toBe(101);
    await untilMetric(weir.adminUrl, 0, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 25, "weir_queue_wait_seconds_count", queue);
  });

  test("are served by the priority of their tier, then in the order in which they came", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1 });
    await weir.knock("first");
    await untilMetric(weir.adminUrl, 1, "weir_connections");
    const waiting = ["guest 1", "normal 1", "vip 1", "guest 2", "normal 2", "vip 2"];
    for (const [i, user] of waiting.entries()) {
      await weir.knock(user.replace(" ", "-"), user.split(" ")[0]);
      await untilMetric(weir.adminUrl, i + 1, "weir_queue_length", queue);
    }
    // A debt from the slower pace of before would keep them waiting for an hour.
    await weir.reload({ rate: "10/s", burst: 1 });
    await untilMetric(weir.adminUrl, 7, "weir_connections");
    expect(usersAt(weir.backend)).toEqual([
      "first",
      "vip-1",
      "vip-2",
      "normal-1",
      "normal-2",
      "guest-1",
      "guest-2",
    ]);
  });

  test("all get their turn, through a client that knows nothing of it", async () => {
    const weir = await startPaced({ rate: "100/s", burst: 2 });
    const clients = await Promise.all(
      Array.from({ length: 30 }, (_, i) => openClient(weir.url, { headers: { "X-User-Id": `user-${i}` } })),
    );
    for (const client of clients) expect(await client.ask("who")).toBe("echo");
  });

  test("are refused upgrade_limited where the queue is full", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1, queue: 2 });
    for (const user of ["open", "waits-1", "waits-2"]) await weir.knock(user);
    await untilMetric(weir.adminUrl, 2, "weir_queue_length", queue);
    expect(await refusalOf(weir.url, upgradeRequest())).toMatchObject({
      status: 503,
      code: "upgrade_limited",
      message: "too many new connections at once",
    });
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "upgrade_limited" });
    await untilMetric(weir.adminUrl, 3, "weir_users");
  });

  test("are refused upgrade_limited after limits.upgrades.timeout", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1, timeout: "200ms" });
    await weir.knock("open");
    await untilMetric(weir.adminUrl, 1, "weir_connections");
    const waiting = [await weir.knock("waits-1"), await weir.knock("waits-2")];
    for (const client of waiting) {
      const { status, code, head } = await readRefusal(client);
      expect({ status, code }).toEqual({ status: 503, code: "upgrade_limited" });
      expect(Number(head.header("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    await untilMetric(weir.adminUrl, 0, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 1, "weir_users");
  });

  test("leave no trace where their clients hang up, and make room for others", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1, queue: 2 });
    await weir.knock("open");
    await untilMetric(weir.adminUrl, 1, "weir_connections");
    const waiting = [await weir.knock("fin"), await weir.knock("rst")];
    await untilMetric(weir.adminUrl, 2, "weir_queue_length", queue);
    waiting[0]?.finish();
    waiting[1]?.reset();
    await untilMetric(weir.adminUrl, 0, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 1, "weir_users");
    await untilMetric(weir.adminUrl, 2, "weir_upgrades_total", { result: "client_gone" });
    const last = await weir.knock("last");
    await untilMetric(weir.adminUrl, 1, "weir_queue_length", queue);
    await weir.reload("off");
    expect((await last.readHead()).status).toBe(101);
    await untilMetric(weir.adminUrl, 2, "weir_connections");
    expect(usersAt(weir.backend)).toEqual(["open", "last"]);
  });

  test("count against the caps while they wait", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1 });
    for (let i = 0; i < 3; i++) await weir.knock("ann");
    await untilMetric(weir.adminUrl, 2, "weir_queue_length", queue);
    const request = upgradeRequest({ lines: ["X-User-Id: ann"] });
    expect(await refusalOf(weir.url, request)).toMatchObject({ status: 429, code: "user_full" });
  });

  test("are refused draining when the drain begins", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1 });
    await (await openClient(weir.url)).close(1000);
    const waiting = await weir.knock("waits");
    await untilMetric(weir.adminUrl, 1, "weir_queue_length", queue);
    const drained = weir.weir.drain();
    expect(await readRefusal(waiting)).toMatchObject({ status: 503, code: "draining" });
    await drained;
  });

  test("leave the line with their worker thread", async () => {
    const weir = await startPaced({ rate: "1/h", burst: 1 });
    for (const user of ["open", "waits-1", "waits-2"]) await weir.knock(user);
    await untilMetric(weir.adminUrl, 2, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 1, "weir_connections");
    await weir.weir.workers.kill(0);
    await untilMetric(weir.adminUrl, 0, "weir_queue_length", queue);
    await untilMetric(weir.adminUrl, 0, "weir_users");
    expect(usersAt(weir.backend)).toEqual(["open"]);
  });
});
