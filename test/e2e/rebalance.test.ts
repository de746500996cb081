// `rebalance`: after a scale-out, connections of the overloaded go to the new backends, at a pace.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

const CLIENTS = 12;

test("clients are told 1012 until each backend has its share, and come back to the new one", async () => {
  const [old, added] = [await startEchoBackend({ id: "old" }), await startEchoBackend({ id: "added" })];
  const options = {
    pool: { affinity: { by: "user" }, rebalance: { maxSkew: "20%", pace: "100/s" } },
    config: { identity: { user: [{ header: "x-user-id" }] } },
  };
  const weir = await startInFrontOf({ id: old.id, url: old.url }, options);
  const users = Array.from({ length: CLIENTS }, (_, i) => ({ headers: { "X-User-Id": `user-${i}` } }));
  const clients = await Promise.all(users.map((user) => openClient(weir.url, user)));

  const back: WsClient[] = [];
  const goodbyes = new Set<string>();
  let isOver = false;
  /** As a client's library does: whoever is sent away comes back at once. */
  async function comeBack(client: WsClient, user: (typeof users)[number]): Promise<void> {
    const { code, reason } = await client.closed();
    if (isOver) return;
    goodbyes.add(`${code} ${reason}`);
    back.push(await openClient(weir.url, user));
  }
  for (const [i, user] of users.entries()) {
    const client = clients[i];
    if (client !== undefined) void comeBack(client, user);
  }
  await reloadInFrontOf(
    weir,
    [old, added].map(({ id, url }) => ({ id, url })),
    options,
  );
  // 7.2 are 20 % above the fair share of 6.
  await until("the old one is down to its share", () => old.openConnections <= 8);
  await until("they are back", () => old.openConnections + back.length === CLIENTS);
  expect(goodbyes).toEqual(new Set(["1012 backend draining"]));
  // Affinity would have brought them to the backend of before.
  expect(new Set(back.map(({ backendId }) => backendId))).toEqual(new Set(["added"]));
  await untilMetric(weir.adminUrl, back.length, "weir_closes_total", { reason: "backend_draining" });
  expect([back.length, old.openConnections, added.openConnections]).toEqual([4, 8, 4]);
  isOver = true;
});
