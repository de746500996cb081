// A client that leaves before it was served: nobody is left to dial for.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { accept, neverAnswer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

const ways: readonly (readonly [how: string, leave: (connection: RawConnection) => void])[] = [
  ["with a FIN", (connection) => connection.finish()],
  ["with a RST", (connection) => connection.reset()],
];

describe("a client that leaves while its backend is dialled", () => {
  test.for(ways)("aborts the dial and gives its slot back: %s", async ([, leave]) => {
    const backend = await startScriptedBackend([neverAnswer(), accept()]);
    const weir = await startInFrontOf({ id: "only", url: backend.url, capacity: 1 });
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    const dialled = await backend.connection(0);
    await dialled.untilReceivedBytes(1);
    const slots = { pool: "chat", backend: "only" };
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", slots);
    leave(connection);
    await dialled.untilClosed();
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", slots);
    const { level, fields } = await weir.log.entry(
      "client_gone",
      (entry) => entry.fields["code"] === "client_gone",
    );
    expect([level, fields["address"]]).toEqual(["info", "127.0.0.1"]);
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_upgrades_total", { pool: "chat", result: "client_gone" })).toBe(1);
    expect(metrics.sum("weir_upgrades_total", { pool: "chat" })).toBe(1);
    await openClient(weir.url);
    expect(backend.connections).toHaveLength(2);
  });

  test("is not dialled for on another backend", async () => {
    const silent = await startScriptedBackend(neverAnswer());
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([{ url: silent.url, weight: 100 }, { url: echo.url }]);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    await (await silent.connection(0)).untilReceivedBytes(1);
    connection.reset();
    await (await silent.connection(0)).untilClosed();
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "client_gone" });
    expect(echo.upgrades).toEqual([]);
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_dial_retries_total")).toBe(0);
  });

  test("is noticed behind bytes that it sent early", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest() + "x".repeat(10_000));
    const dialled = await backend.connection(0);
    await dialled.untilReceivedBytes(1);
    connection.finish();
    expect(await dialled.untilClosed()).not.toBe("open");
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  });
});

test("many clients that leave at once leave no slot taken", async () => {
  const backend = await startScriptedBackend(neverAnswer());
  const weir = await startInFrontOf(backend.url);
  const connections = await Promise.all(Array.from({ length: 50 }, () => connectRaw(weir.url)));
  await Promise.all(connections.map((connection) => connection.write(upgradeRequest())));
  await untilMetric(weir.adminUrl, 50, "weir_backend_connections");
  // A slot is taken before its dial begins.
  await backend.connection(49);
  for (const [i, connection] of connections.entries()) ways[i % ways.length]?.[1](connection);
  await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  await untilMetric(weir.adminUrl, 50, "weir_upgrades_total", { result: "client_gone" });
  const ends = await Promise.all(backend.connections.map((connection) => connection.untilClosed()));
  expect(ends).toHaveLength(50);
});
