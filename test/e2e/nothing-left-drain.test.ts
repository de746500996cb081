// What a drain drops leaves nothing behind in the process that lives on, be it the drain of a backend that is
// taken from the list or that of a whole Weir in a program that uses it as a library.
import { expect, test } from "vitest";

import { EndsBackend } from "../../bench/load/ends-backend.ts";
import { EndsClient } from "../../bench/load/ends-client.ts";
import { maskedFrames } from "../../bench/load/frames.ts";
import { onCleanup } from "../support/cleanup.ts";
import { untilMetric, scrape } from "../support/metrics.ts";
import { settledExcess, settledResources, tellingResources } from "../support/resources.ts";
import { type SpawnedLibrary, spawnLibrary } from "../support/spawn-library.ts";

const THREADS = 2;
const OF_EACH = 6;

const message = maskedFrames(64, 1);
/** The first of several fragments. */
const fragment = Buffer.from(message);
fragment[0] = 0x01;

/** Clients that are there as the drain begins, in every state that there is. */
const present: Readonly<Record<string, (client: EndsClient) => void | Promise<void>>> = {
  "says nothing": (client) => client.open("/backend/stays"),
  "never answers the Close": async (client) => {
    client.answersClose = false;
    await client.open("/backend/stays");
  },
  "has a backend that never answers the Close": (client) => client.open("/backend/mute"),
  "is between two fragments": async (client) => {
    await client.open("/backend/stays");
    client.write(fragment);
  },
  "is within a frame": async (client) => {
    await client.open("/backend/stays");
    client.write(message.subarray(0, 20));
  },
  "has a backend that does not answer the upgrade": (client) => client.ask("/backend/waits"),
  "waits for room": (client) => client.ask("/full"),
  "waits for the answer to a plain request": (client) =>
    client.write("GET /backend/waits HTTP/1.1\r\nHost: a\r\n\r\n"),
  "gets a refusal of its backend's that never ends": (client) => client.ask("/backend/trickles"),
  "has not sent its whole head": (client) => client.write("GET / HTTP/1.1\r\nHost: a"),
};

const OPEN = 5 * OF_EACH + 1;
const DIALLING = OF_EACH;

function configOf(port: number, leaving: readonly string[] = []) {
  const pool = { healthCheck: "off", outlier: "off", affinity: "off" };
  const url = `ws://127.0.0.1:${port}`;
  const full = { ...pool, queue: { size: 100, timeout: "1m" }, backends: [{ id: "a", url, capacity: 1 }] };
  const backends = ["stays", ...leaving].map((id) => ({ id, url }));
  return {
    threads: THREADS,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    log: { access: false },
    identity: { user: [{ header: "x-user-id" }] },
    timeouts: { ping: "off", close: "200ms", handshake: "1m", backendHandshake: "1m" },
    shutdown: { spread: "0s", timeout: "1500ms" },
    routes: [
      { match: { path: "/backend/*" }, pool: "backend" },
      { match: { path: "/full" }, pool: "full" },
      { match: { path: "/changing" }, pool: "changing" },
    ],
    pools: {
      backend: { ...pool, backends: [url] },
      full,
      changing: { ...pool, onRemove: { spread: "0s" }, backends },
    },
  };
}

async function startLibrary(): Promise<SpawnedLibrary & { readonly backend: EndsBackend }> {
  const backend = await EndsBackend.listen();
  onCleanup("the backend", () => backend.close());
  const library = await spawnLibrary(configOf(backend.port), tellingResources(THREADS));
  return { ...library, backend };
}

function clientOf({ weir }: SpawnedLibrary, user: string): EndsClient {
  const client = new EndsClient(Number(new URL(weir.httpUrl).port), user);
  onCleanup(`the client ${user}`, () => client.reset());
  return client;
}

/** Far cheaper to ask for than what the process holds, which a starved machine gets to ask but a few times. */
async function untilNobodyIsThere(adminUrl: string): Promise<void> {
  await untilMetric(adminUrl, 0, "weir_backend_connections");
  await untilMetric(adminUrl, 0, "weir_queue_length");
}

/** Resolves when each of them is in its state. */
async function gather(library: SpawnedLibrary): Promise<EndsClient[]> {
  const { adminUrl } = library.weir;
  const clients: EndsClient[] = [];
  const inside = clientOf(library, "inside");
  await inside.open("/full");
  for (const [state, enter] of Object.entries(present)) {
    for (let i = 0; i < OF_EACH; i++) {
      const client = clientOf(library, `${i}, who ${state}`);
      clients.push(client);
      await enter(client);
    }
  }
  await untilMetric(adminUrl, OPEN + DIALLING, "weir_backend_connections");
  await untilMetric(adminUrl, OF_EACH, "weir_queue_length");
  return [inside, ...clients];
}

test("after weir.drain() nothing is left of the connections that it dropped, and after weir.close() nothing at all", async () => {
  const library = await startLibrary();
  const { weir } = library;
  // What is made once and kept is there after these.
  for (const client of await gather(library)) {
    client.reset();
    await client.closed;
  }
  await untilNobodyIsThere(weir.adminUrl);
  const before = await settledResources(weir, ({ grants, buckets }) => grants === 0 && buckets === 0);
  expect(before.grants).toBe(0);
  const clients = await gather(library);
  await library.call({ kind: "drain" });
  for (const client of clients) await client.closed;
  await untilNobodyIsThere(weir.adminUrl);
  expect(await settledExcess(weir, before)).toEqual([]);
  const after = await settledResources(weir, ({ grants }) => grants === 0);
  const workers = after.threads.filter(({ thread }) => thread !== 0);
  expect(workers.map(({ objects }) => objects["own"])).toEqual(Array.from({ length: THREADS }, () => 0));
  // Their listeners are closed as well.
  for (const { active } of workers) expect(Object.keys(active)).toEqual(["MessagePort"]);
  const figures = await scrape(weir.adminUrl);
  for (const family of ["weir_connections", "weir_users", "weir_backend_connections", "weir_queue_length"]) {
    expect([family, figures.sum(family)]).toEqual([family, 0]);
  }
  expect(figures.sum("weir_closes_total", { reason: "draining" })).toBe(OPEN);
  await library.call({ kind: "close" });
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
}, 120_000);

test("after backends that came and went nothing is left of them, nor of the connections that they had", async () => {
  const library = await startLibrary();
  const { weir, call, backend } = library;
  const comeAndGo = async (id: string): Promise<void> => {
    await call({ kind: "reload", config: configOf(backend.port, [id]) });
    const clients = Array.from({ length: 10 }, (_, i) => clientOf(library, `${id} ${i}`));
    for (const client of clients) await client.open("/changing");
    await call({ kind: "reload", config: configOf(backend.port) });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: id });
    // Of the other half, the backend has stayed.
    for (const client of clients) client.reset();
    for (const client of clients) await client.closed;
    // The next ones would share out unevenly beside what it still counts.
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: "stays" });
  };
  await comeAndGo("first");
  const before = await settledResources(weir, ({ grants, buckets }) => grants === 0 && buckets === 0);
  for (let round = 0; round < 10; round++) await comeAndGo(`round-${round}`);
  expect(await settledExcess(weir, before)).toEqual([]);
  const figures = await scrape(weir.adminUrl);
  expect(figures.sum("weir_closes_total", { reason: "backend_draining" })).toBe(11 * 5);
}, 120_000);
