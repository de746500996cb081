// Backends ejected for what real traffic meets, and the ends of that; times are so long, or so short, that
// no test hangs on them.
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { startChecked } from "../support/health-endpoint.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { headersOf } from "../support/network-user.ts";
import { ownHost } from "../support/own-host.ts";
import { openRaw } from "../support/raw-client.ts";
import { accept, answer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { reasonOf, stateChanges } from "../support/state-changes.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

const nobody = "ws://127.0.0.1:1";
const outlier = { failures: 3, window: "1h", eject: "1h" };

/** Heavy enough to be tried first, whatever the others have. */
const FIRST = 1_000;

async function untilEjected({ adminUrl }: StartedWeir, ...ids: readonly string[]): Promise<void> {
  await untilMetric(adminUrl, ids.length, "weir_backend_state", { state: "ejected" });
  for (const backend of ids)
    await untilMetric(adminUrl, 1, "weir_backend_state", { state: "ejected", backend });
}

/** Opens one client after another; the ids of those who served them. */
async function serve({ url }: StartedWeir, times: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < times; i += 1) ids.push((await openClient(url)).backendId);
  return ids;
}

/** What starts it again where it was. */
async function stop(backend: EchoBackend): Promise<{ id: string; host: string; port: number }> {
  await backend.stop();
  return { id: `${backend.id} again`, host: ownHost, port: backend.port };
}

describe("connects that fail eject a backend", () => {
  test("as soon as they are enough; clients notice neither them nor the ejection", async () => {
    const echo = await startEchoBackend({ id: "b" });
    const entries = [
      { id: "a", url: nobody, weight: FIRST },
      { id: "b", url: echo.url },
    ];
    const weir = await startInFrontOf(entries, { pool: { outlier }, config: { threads: 2 } });
    expect(await serve(weir, 2)).toEqual(["b", "b"]);
    await untilMetric(weir.adminUrl, 2, "weir_backend_failures_total", { backend: "a", kind: "connect" });
    expect(stateChanges(weir)).toEqual([]);
    expect(await serve(weir, 1)).toEqual(["b"]);
    await untilEjected(weir, "a");
    const { level, fields } = await weir.log.entry("ejected", ({ message }) => message === "backend ejected");
    expect([level, fields]).toEqual([
      "warn",
      { pool: "chat", backend: "a", reason: "connect", ejectMs: 3_600_000 },
    ]);

    // From now on nothing goes there: no failure, and no retry.
    expect(await serve(weir, 10)).toEqual(Array.from({ length: 10 }, () => "b"));
    await untilMetric(weir.adminUrl, 13, "weir_upgrades_total", { result: "ok" });
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_backend_failures_total")).toBe(3);
    expect(metrics.sum("weir_dial_retries_total")).toBe(3);
    // What checks say of it, and what an operator does, is another matter.
    expect(metrics.sum("weir_backend_up", { backend: "a" })).toBe(1);
    expect(stateChanges(weir)).toEqual(["a: backend ejected"]);
  });
});

test("an ejected backend keeps the connections that it has", async () => {
  const busy = await startScriptedBackend([accept(), answer({ status: 503 })]);
  const echo = await startEchoBackend({ id: "b" });
  const entries = [
    { id: "a", url: busy.url, weight: FIRST },
    { id: "b", url: echo.url },
  ];
  const pool = { outlier: { ...outlier, failures: 2 } };
  const weir = await startInFrontOf(entries, { pool });
  const { connection } = await openRaw(weir.url);
  for (const user of ["ann", "bob"]) {
    expect((await openClient(weir.url, { headers: headersOf(user) })).backendId).toBe("b");
  }
  await untilEjected(weir, "a");
  expect(await reasonOf(weir, "backend ejected", "a")).toBe("status");
  await connection.sendText("still here");
  expect(await (await busy.connection(0)).nextText()).toBe("still here");
  await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { backend: "a" });
});

describe("an ejection ends", () => {
  test("with its time", async () => {
    const a = await startEchoBackend({ id: "a", host: ownHost });
    const b = await startEchoBackend({ id: "b" });
    const entries = [
      { id: "a", url: a.url, weight: FIRST },
      { id: "b", url: b.url },
    ];
    const shortly = { failures: 1, window: "1h", eject: "100ms" };
    const weir = await startInFrontOf(entries, { pool: { outlier: shortly } });
    const again = await stop(a);
    expect(await serve(weir, 1)).toEqual(["b"]);
    expect(await reasonOf(weir, "backend ejected", "a")).toBe("connect");
    await startEchoBackend(again);
    expect(await reasonOf(weir, "backend no longer ejected", "a")).toBe("its time is over");
    expect(await serve(weir, 1)).toEqual(["a again"]);
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "active" });
  });

  test("with a check that passes after one that failed, be the backend never down", async () => {
    const healthCheck = { unhealthyAfter: 1_000 };
    const { weir, endpoint, a } = await startChecked({ healthCheck, pool: { outlier } });
    await endpoint.answer(200);
    const again = await stop(a);
    // At least three of them try `a` first, since it has no connection.
    await serve(weir, 4);
    await untilEjected(weir, "a");
    await startEchoBackend(again);
    await endpoint.answer(200, 200);
    expect(await serve(weir, 2)).toEqual(["b", "b"]);
    await endpoint.answer(500);
    await untilEjected(weir, "a");
    await endpoint.answer(200);
    expect(await reasonOf(weir, "backend no longer ejected", "a")).toBe("its check passes again");
    expect(await serve(weir, 1)).toEqual(["a again"]);
    expect(stateChanges(weir)).toEqual(["a: backend ejected", "a: backend no longer ejected"]);
  });

  test("where no other backend is left", async () => {
    const a = await startEchoBackend({ id: "a", host: ownHost });
    const b = await startEchoBackend({ id: "b" });
    const entries = [
      { id: "a", url: a.url, weight: FIRST },
      { id: "b", url: b.url },
    ];
    const weir = await startInFrontOf(entries, { pool: { outlier: { ...outlier, failures: 1 } } });
    const again = await stop(a);
    await serve(weir, 1);
    await untilEjected(weir, "a");
    await startEchoBackend(again);
    const url = `${weir.adminUrl}/api/pools/chat/backends/b`;
    await fetch(url, { method: "PUT", body: JSON.stringify({ state: "draining" }) });
    expect(await reasonOf(weir, "backend no longer ejected", "a")).toBe("no other backend is left");
    expect(await serve(weir, 1)).toEqual(["a again"]);
    expect(stateChanges(weir)).toEqual(["a: backend ejected", "a: backend no longer ejected"]);
  });
});

describe("a pool is never left without backends", () => {
  test.each([
    ["one of one", ["a"], 0],
    ["two of two", ["a", "b"], 1],
    ["three of three", ["a", "b", "c"], 1],
    ["five of five", ["a", "b", "c", "d", "e"], 2],
  ])("where %s cannot be reached: no more than half are ejected", async (_what, ids, ejected) => {
    const entries = ids.map((id) => ({ id, url: nobody }));
    const pool = { outlier: { ...outlier, failures: 1 }, retries: 10 };
    const weir = await startInFrontOf(entries, { pool, config: { threads: 2 } });
    const answers = await Promise.all(Array.from({ length: 10 }, () => expectRefusal(weir.url)));
    // Tried, not given up: 502 is no `no_backend`.
    for (const { status } of answers) expect(status).toBe(502);
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 502 });
    await untilMetric(weir.adminUrl, ejected, "weir_backend_state", { state: "ejected" });
    expect(stateChanges(weir)).toHaveLength(ejected);
  });

  test("and the one that works serves everybody, though two that do not are tried first", async () => {
    const echo = await startEchoBackend({ id: "works" });
    const dead = ["a", "b", "c", "d"].map((id) => ({ id, url: nobody, weight: FIRST }));
    const entries = [...dead, { id: "works", url: echo.url }];
    const weir = await startInFrontOf(entries, { pool: { outlier: { ...outlier, failures: 1 } } });
    // Before the first ejection there are more of the dead than retries.
    await expectRefusal(weir.url);
    await untilMetric(weir.adminUrl, 2, "weir_backend_state", { state: "ejected" });
    expect(await serve(weir, 5)).toEqual(Array.from({ length: 5 }, () => "works"));
    await untilMetric(weir.adminUrl, 2, "weir_backend_state", { state: "ejected" });
  });
});
