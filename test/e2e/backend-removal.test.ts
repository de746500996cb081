// Backends that a reload takes away, brings back, moves or resizes, while connections are open on them.
import { beforeEach, describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { setMainClockAhead } from "../support/main-clock.ts";
import { untilMetric } from "../support/metrics.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

/** As the configuration has it. */
type Entry = Readonly<Record<"id" | "url", string>>;

let a: EchoBackend;
let b: EchoBackend;

beforeEach(async () => {
  [a, b] = [await startEchoBackend({ id: "a" }), await startEchoBackend({ id: "b" })];
});

describe("the connections of a backend that a reload removes", () => {
  test("go at once with `close`, with 1012 and 1001, and nobody else's do", async () => {
    const { weir, leaving, staying } = await removeFrom({ mode: "close", spread: "1h" });
    for (const client of leaving) expect(await client.closed()).toEqual(farewell);
    expect(await a.close(0)).toEqual({ code: 1001, reason: "" });
    for (const client of staying) expect(await client.ask("still here")).toBe("still here");
    await untilForgotten(weir, "a");
    await untilMetric(weir.adminUrl, 4, "weir_closes_total", {
      reason: "backend_draining",
      by: "weir",
      code: "1012",
    });
  });

  test("go one by one with `drain`, over `spread`", async () => {
    const { weir, leaving, options } = await removeFrom({ mode: "drain", grace: "0s", spread: "20s" }, 100);
    // One each 400 ms, so that most are still there when the first has gone.
    await until("the first has gone", () => leaving.some(isClosed));
    expect(leaving.filter(isClosed).length).toBeLessThan(25);
    // The next that goes may be any of them.
    const asked = leaving.filter((client) => !isClosed(client)).map((client) => client.ask("still here"));
    expect(await Promise.any(asked)).toBe("still here");
    await reloadInFrontOf(weir, entry(b), { pool: { onRemove: { ...options.pool.onRemove, spread: "0s" } } });
    await put(weir, "a", { state: "down" });
    for (const client of leaving) expect(await client.closed()).toEqual(farewell);
    await untilForgotten(weir, "a");
  });

  test("may go by themselves during `grace`: a backend that empties is gone without a Close of ours", async () => {
    const { weir, leaving, staying } = await removeFrom({ mode: "drain", grace: "1h", spread: "0s" });
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "removed" });
    for (const client of leaving) expect(await client.ask("in grace")).toBe("in grace");
    for (let i = 0; i < 4; i++) expect((await openClient(weir.url)).backendId).toBe("b");
    await Promise.all(leaving.map((client) => client.close(1000)));
    await untilForgotten(weir, "a");
    await untilMetric(weir.adminUrl, 0, "weir_closes_total", { reason: "backend_draining" });
    for (const client of staying) expect(await client.ask("still here")).toBe("still here");
  });

  test("stay with `keep`, until they end; the entry goes with the last of them", async () => {
    const { weir, leaving } = await removeFrom({ mode: "keep" });
    expect((await openClient(weir.url)).backendId).toBe("b");
    const last = leaving.pop();
    await Promise.all(leaving.map((client) => client.close(1000)));
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { backend: "a" });
    expect(await last?.ask("the last")).toBe("the last");
    await last?.close(1000);
    await untilForgotten(weir, "a");
    expect(await put(weir, "a", { state: "active" })).toBe(404);
  });
});

test("a backend that comes back to the list while it drains keeps the connections that it still has", async () => {
  const c = await startEchoBackend({ id: "c" });
  const options = { pool: { onRemove: { mode: "drain", grace: "0s", spread: "1h" } } };
  const weir = await startInFrontOf([entry(a), entry(b), entry(c)], options);
  const clients = await openOn(weir, 60);
  const on = (id: string) => clients.filter(({ backendId }) => backendId === id);
  await reloadInFrontOf(weir, entry(b), options);
  await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "removed" });
  setMainClockAhead(1_800_000);
  await until("half of them have gone", () =>
    ["a", "c"].every((id) => on(id).filter(isClosed).length === on(id).length / 2),
  );
  await reloadInFrontOf(weir, [entry(a), entry(b)], options);
  await weir.log.entry("it is listed again", ({ message }) => message === "backend listed again");
  await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "active" });
  // The other one began to drain at the same time: with its last connection those of `a` would be gone, too.
  setMainClockAhead(3_700_000);
  for (const client of on("c")) expect(await client.closed()).toEqual(farewell);
  const left = on("a").filter((client) => !isClosed(client));
  expect(left.length).toBeGreaterThan(0);
  for (const client of left) expect(await client.ask("still here")).toBe("still here");
  await untilMetric(weir.adminUrl, left.length, "weir_backend_connections", { backend: "a" });
  const added = await openOn(weir, 2);
  expect(added.map(({ backendId }) => backendId)).toContain("a");
});

describe("a backend that is moved to another pool", () => {
  test("ends what it had there as `onRemove` says, and serves here; each pool counts for itself", async () => {
    const c = await startEchoBackend({ id: "c" });
    const weir = await startInFrontOf([entry(a), entry(b)], withGame([entry(c)]));
    const clients = await openOn(weir, 4);
    const onA = clients.filter(({ backendId }) => backendId === "a");
    await reloadInFrontOf(weir, [entry(b)], withGame([entry(c), entry(a)]));

    const inGame = await Promise.all([openClient(`${weir.url}/game`), openClient(`${weir.url}/game`)]);
    expect(new Set(inGame.map(({ backendId }) => backendId))).toEqual(new Set(["a", "c"]));
    expect((await openClient(weir.url)).backendId).toBe("b");
    for (const client of onA) expect(await client.ask("kept")).toBe("kept");
    await untilMetric(weir.adminUrl, 2, "weir_backend_connections", { pool: "chat", backend: "a" });
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { pool: "game", backend: "a" });

    await reloadInFrontOf(weir, [entry(b), entry(a)], withGame([entry(c)]));
    const moved = inGame.find(({ backendId }) => backendId === "a");
    expect(await moved?.closed()).toEqual(farewell);
    for (const client of onA) expect(await client.ask("kept")).toBe("kept");
    await untilMetric(weir.adminUrl, 2, "weir_backend_connections", { pool: "chat", backend: "a" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool: "game", backend: "a" });
  });

  test("with its whole pool renamed, serves under the new name and drains under the old one", async () => {
    const routesTo = (pool: string) => ({
      config: {
        routes: [{ pool }],
        pools: { [pool]: { ...plain, onRemove: { mode: "close" }, backends: [entry(b)] } },
      },
    });
    const weir = await startInFrontOf(entry(a), routesTo("old"));
    const client = await openClient(weir.url);
    await reloadInFrontOf(weir, entry(a), routesTo("new"));
    expect((await openClient(weir.url)).backendId).toBe("b");
    expect(await client.closed()).toEqual(farewell);
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool: "old" });
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { pool: "new" });
  });
});

describe("after a reload", () => {
  test("a smaller capacity cuts nobody and lets nobody in until there is room; a larger one does at once", async () => {
    const weir = await startInFrontOf(withCapacity(3));
    const clients = await openOn(weir, 3);
    await expectRefusal(weir.url);
    await reloadInFrontOf(weir, withCapacity(1));
    for (const client of clients) expect(await client.ask("still here")).toBe("still here");
    await Promise.all(clients.splice(0, 2).map((client) => client.close(1000)));
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections");
    expect((await expectRefusal(weir.url)).status).toBe(503);
    await reloadInFrontOf(weir, withCapacity(2));
    await openClient(weir.url);
    await expectRefusal(weir.url);
    await reloadInFrontOf(weir, withCapacity("off"));
    await openOn(weir, 3);
  });

  test("open connections still weigh in least-connections, by the new weights", async () => {
    const weighted = (weight: number) => [{ ...entry(a), weight }, entry(b)];
    const weir = await startInFrontOf(entry(a));
    await openOn(weir, 6);
    await reloadInFrontOf(weir, weighted(1));
    // Those that are there count: the new one catches up first.
    for (let i = 0; i < 6; i++) expect((await openClient(weir.url)).backendId).toBe("b");
    await reloadInFrontOf(weir, weighted(3));
    // 6 of 12 with three of four weights: the next twelve are all its own.
    for (let i = 0; i < 11; i++) expect((await openClient(weir.url)).backendId).toBe("a");
    expect([a.openConnections, b.openConnections]).toEqual([17, 6]);
  });

  test("what was set by hand holds, until it is taken back", async () => {
    const weir = await startInFrontOf([entry(a), entry(b)]);
    expect(await put(weir, "a", { state: "draining", weight: 7, capacity: 9 })).toBe(200);
    await reloadInFrontOf(weir, [{ ...entry(a), weight: 2, capacity: 3 }, entry(b)]);
    expect(await backendOf(weir, "a")).toMatchObject({ state: "draining", weight: 7, capacity: 9 });
    expect((await openClient(weir.url)).backendId).toBe("b");
    expect(await put(weir, "a", { state: "active", weight: null, capacity: null })).toBe(200);
    expect(await backendOf(weir, "a")).toMatchObject({ state: "active", weight: 2, capacity: 3 });
    expect((await openClient(weir.url)).backendId).toBe("a");
  });
});

const farewell = { code: 1012, reason: "backend draining" };
const plain = { healthCheck: "off", affinity: "off", outlier: "off" };

interface Removal {
  readonly weir: StartedWeir;
  /** Half of them, on `a`, which was taken from the list. */
  readonly leaving: WsClient[];
  /** The other half, on `b`, which was not. */
  readonly staying: WsClient[];
  readonly options: { readonly pool: { readonly onRemove: object } };
}

async function removeFrom(onRemove: object, connections = 8): Promise<Removal> {
  const options = { pool: { onRemove } };
  const weir = await startInFrontOf([entry(a), entry(b)], options);
  const clients = await openOn(weir, connections);
  await reloadInFrontOf(weir, entry(b), options);
  const on = (id: string) => clients.filter(({ backendId }) => backendId === id);
  return { weir, options, leaving: on("a"), staying: on("b") };
}

async function openOn(weir: StartedWeir, count: number): Promise<WsClient[]> {
  return Promise.all(Array.from({ length: count }, () => openClient(weir.url)));
}

function withCapacity(capacity: unknown): Entry & { readonly capacity: unknown } {
  return { ...entry(a), capacity };
}

/** A second pool, whose removed backends lose their connections at once; those of `chat` keep them. */
function withGame(backends: readonly Entry[]): Parameters<typeof startInFrontOf>[1] {
  return {
    config: {
      routes: [{ match: { path: "/game" }, pool: "game" }, { pool: "chat" }],
      pools: { game: { ...plain, onRemove: { mode: "close" }, backends } },
    },
    pool: { onRemove: { mode: "keep" } },
  };
}

function isClosed({ socket }: WsClient): boolean {
  return socket.readyState === socket.CLOSED;
}

function entry({ id, url }: EchoBackend): Entry {
  return { id, url };
}

/** Its entry is gone, with its samples. */
async function untilForgotten(weir: StartedWeir, backend: string): Promise<void> {
  await until(`${backend} is forgotten`, async () => (await backendOf(weir, backend)) === undefined);
  await untilMetric(weir.adminUrl, 0, "weir_backend_state", { backend });
}

async function backendOf({ adminUrl }: StartedWeir, id: string): Promise<unknown> {
  const answer = await fetch(`${adminUrl}/api/pools`);
  const { pools } = (await answer.json()) as { pools: { backends: { id: string }[] }[] };
  return pools.flatMap(({ backends }) => backends).find((backend) => backend.id === id);
}

async function put({ adminUrl }: StartedWeir, backend: string, body: unknown): Promise<number> {
  const url = `${adminUrl}/api/pools/chat/backends/${backend}`;
  const { status } = await fetch(url, { method: "PUT", body: JSON.stringify(body) });
  return status;
}
