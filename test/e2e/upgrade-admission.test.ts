// What the control plane refuses: caps, capacities, a drain. Slots are counted exactly and given back.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

/** The refusal of one more client, which must be a 503 with a Retry-After. */
async function refusedWith503(url: string): Promise<unknown> {
  const { status, headers, body } = await expectRefusal(url);
  expect(status).toBe(503);
  expect(Number(headers["retry-after"])).toBeGreaterThanOrEqual(1);
  expect(Number(headers["retry-after"])).toBeLessThanOrEqual(3);
  return JSON.parse(body);
}

test("refuses the 4th connection of backends with capacities 1 and 2, until one of them closes", async () => {
  const [one, two] = await Promise.all([startEchoBackend({ id: "one" }), startEchoBackend({ id: "two" })]);
  const weir = await startInFrontOf([
    { id: "one", url: one.url, capacity: 1 },
    { id: "two", url: two.url, capacity: 2 },
  ]);
  const clients = [await openClient(weir.url), await openClient(weir.url), await openClient(weir.url)];
  expect(clients.map(({ backendId }) => backendId).toSorted()).toEqual(["one", "two", "two"]);
  expect(await refusedWith503(weir.url)).toEqual({
    error: "backends_full",
    message: "every backend is at its capacity",
  });
  await weir.log.entry("backends_full", ({ fields }) => fields["code"] === "backends_full");
  const leaving = clients.find(({ backendId }) => backendId === "one");
  await leaving?.close();
  await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: "one" });
  expect((await openClient(weir.url)).backendId).toBe("one");
  await refusedWith503(weir.url);
});

test("never grants more than the capacity to clients that come at once", async () => {
  const echo = await startEchoBackend();
  const weir = await startInFrontOf({ url: echo.url, capacity: 7 }, { config: { threads: 2 } });
  const attempts = Array.from({ length: 20 }, () => openClient(weir.url).then(() => "open", String));
  const outcomes = await Promise.all(attempts);
  expect(outcomes.filter((outcome) => outcome === "open")).toHaveLength(7);
  expect(outcomes.filter((outcome) => outcome.includes("503"))).toHaveLength(13);
  expect(echo.upgrades).toHaveLength(7);
  await untilMetric(weir.adminUrl, 13, "weir_upgrades_total", { pool: "chat", result: "backends_full" });
});

test("refuses the 3rd connection with limits.maxConnections at 2, whatever its pool", async () => {
  const [one, two] = await Promise.all([startEchoBackend(), startEchoBackend()]);
  const weir = await startInFrontOf(one.url, {
    config: {
      limits: { maxConnections: 2 },
      pools: { other: { backends: [two.url] } },
      routes: [{ match: { path: "/other" }, pool: "other" }, { pool: "chat" }],
    },
  });
  const bystander = await openBystander(weir.url);
  const other = await openClient(`${weir.url}/other`);
  for (const path of ["/", "/other"]) {
    expect(await refusedWith503(weir.url + path)).toEqual({
      error: "connections_full",
      message: "the connection limit of the server is reached",
    });
  }
  await weir.log.entry("connections_full", ({ fields }) => fields["code"] === "connections_full");
  await other.close();
  await untilMetric(weir.adminUrl, 1, "weir_connections");
  await openClient(`${weir.url}/other`);
  await bystander.expectUnharmed();
});

test("plain requests take no connection slot", async () => {
  const echo = await startEchoBackend();
  const weir = await startInFrontOf(
    { url: echo.url, capacity: 1 },
    { config: { limits: { maxConnections: 1 } } },
  );
  await openClient(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect((await connection.readHead()).status).toBe(200);
  const metrics = await scrape(weir.adminUrl);
  expect(metrics.sum("weir_backend_connections")).toBe(1);
});

test("a pool without a backend is answered 503 no_backend", async () => {
  const echo = await startEchoBackend();
  const backendsFile = join(await temporaryFolder(), "backends.yaml");
  await writeFile(backendsFile, "[]");
  const weir = await startInFrontOf(echo.url, {
    config: {
      pools: { later: { backendsFile } },
      routes: [{ match: { path: "/later" }, pool: "later" }, { pool: "chat" }],
    },
  });
  expect(await refusedWith503(`${weir.url}/later`)).toEqual({
    error: "no_backend",
    message: "no backend is available",
  });
  await weir.log.entry("no_backend", ({ fields }) => fields["code"] === "no_backend");
});

test("an upgrade whose head is under way when the drain begins is answered 503 draining", async () => {
  const echo = await startEchoBackend();
  const weir = await startInFrontOf(echo.url);
  const connection = await connectRaw(weir.url);
  const request = upgradeRequest();
  await connection.write("GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await connection.readHead();
  await connection.write(request.slice(0, 20));
  // Answered on another socket: by then Weir has read what was sent on the first.
  await openClient(weir.url).then((client) => client.close());
  const drained = weir.weir.drain();
  await until("the drain has begun", () => weir.log.entries.some(({ message }) => message === "draining"));
  await connection.write(request.slice(20));
  await connection.readUntil("the first answer's body", (all) => all.indexOf("HTTP/1.1") + 1 || undefined);
  const rest = (await connection.readToEnd()).toString();
  expect(rest).toContain("503");
  expect(rest).toContain("draining");
  await drained;
});
