// What an administrator sees of users and their connections, and does to them.
import { describe, expect, test } from "vitest";

import type { ConnectionView, UserView } from "../../src/control-plane/oversight.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { waitForThreads } from "../support/patience.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { type StartedWeir, toWebSocketUrl } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

interface JsonAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const config = {
  threads: 2,
  identity: { user: [{ header: "x-user" }, "ip"], tier: [{ header: "x-tier" }] },
  tiers: {
    vip: { messages: { rate: "1/h", burst: 10_000 }, bytes: { rate: "1B/s", burst: "1MiB" } },
    guest: { default: true },
  },
};

const pool = { affinity: { by: "user", ttl: "1h" } };

/** Weir with two threads and two backends, a and b. */
async function start(): Promise<{ weir: StartedWeir; backends: EchoBackend[] }> {
  waitForThreads();
  const backends = [await startEchoBackend({ id: "a" }), await startEchoBackend({ id: "b" })];
  return { weir: await startInFrontOf(entriesOf(backends), { pool, config }), backends };
}

function entriesOf(backends: readonly EchoBackend[]): Pick<EchoBackend, "id" | "url">[] {
  return backends.map(({ id, url }) => ({ id, url }));
}

async function call(
  { adminUrl }: StartedWeir,
  method: string,
  path: string,
  body?: unknown,
): Promise<JsonAnswer> {
  const question = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const answer = await ask(`${adminUrl}/api${path}`, question);
  return { status: answer.status, body: JSON.parse(answer.body.toString()) as Record<string, unknown> };
}

function openAs({ url }: StartedWeir, user: string, tier = "guest"): Promise<WsClient> {
  return openClient(url, { headers: { "X-User": user, "X-Tier": tier } });
}

/** So many of the connections that fit, once the control plane knows of them. */
async function listed(weir: StartedWeir, query: string, count: number): Promise<ConnectionView[]> {
  return until(`${count} connections for ${query}`, async () => {
    const { body } = await call(weir, "GET", `/connections?${query}`);
    const connections = body["connections"] as ConnectionView[];
    return connections.length === count && connections;
  });
}

describe("GET /api/connections", () => {
  test("tells of each what it is, and what has passed", async () => {
    const { weir, backends } = await start();
    const client = await openAs(weir, "ann", "vip");
    for (const text of ["one", "two"]) await client.ask(text);
    const [seen] = await listed(weir, "user=ann", 1);
    expect(seen).toEqual({
      id: expect.stringMatching(/^\d+-\d+$/),
      user: "ann",
      tier: "vip",
      address: "127.0.0.1",
      route: "*/*",
      pool: "chat",
      backend: client.backendId,
      requestId: expect.stringMatching(/.+/),
      openedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      messages: { clientToBackend: 2, backendToClient: 2 },
      // Three bytes of payload, two of header, and the client's masking key of four.
      bytes: { clientToBackend: 18, backendToClient: 10 },
      limited: 0,
      roundTripMs: { client: null, backend: null },
      bufferedBytes: { client: 0, backend: 0 },
    });
    expect(Math.abs(Date.now() - Date.parse(seen?.openedAt ?? ""))).toBeLessThan(60_000);
    const timeouts = { ping: { interval: "1s", timeout: "10s" } };
    await reloadInFrontOf(weir, entriesOf(backends), { pool, config: { ...config, timeouts } });
    await until("both sides have answered a ping", async () => {
      const [one] = await listed(weir, "user=ann", 1);
      return one?.roundTripMs.client !== null && one?.roundTripMs.backend !== null;
    });
    await until("the backend shows its round trip", async () => {
      const { body } = await call(weir, "GET", "/pools");
      const [pool] = body["pools"] as { backends: { id: string; roundTripMs: number | null }[] }[];
      const backend = pool?.backends.find(({ id }) => id === client.backendId);
      return (backend?.roundTripMs ?? 0) > 0;
    });
  });

  test("knows a connection as soon as its client does, and so do its neighbours", async () => {
    const { weir } = await start();
    for (let opened = 1; opened <= 5; opened += 1) {
      await openAs(weir, `user-${opened}`);
      const { body } = await call(weir, "GET", `/connections?user=user-${opened}`);
      expect(body["connections"]).toHaveLength(1);
      await openAs(weir, `late-${opened}`);
      expect((await scrape(weir.adminUrl)).sum("weir_upgrades_total", { result: "ok" })).toBe(2 * opened);
    }
    const client = await openAs(weir, "closed");
    await call(weir, "DELETE", "/users/closed/connections");
    expect((await client.closed()).code).toBe(1008);
  });

  test("finds by user, tier, pool and backend over all threads, and cuts off at the limit", async () => {
    const { weir } = await start();
    const users = ["ann", "bob", "cid", "dora", "eve", "finn"];
    const clients = await Promise.all(users.map((user, i) => openAs(weir, user, i < 2 ? "vip" : "guest")));
    const all = await listed(weir, "", 6);
    expect(all.map(({ user }) => user).toSorted()).toEqual(users);
    expect(new Set(all.map(({ id }) => id)).size).toBe(6);
    await listed(weir, "tier=vip", 2);
    await listed(weir, "tier=vip&user=ann&pool=chat", 1);
    await listed(weir, "tier=guest&user=ann", 0);
    await listed(weir, "pool=game", 0);
    await listed(weir, "backend=c", 0);
    const onA = clients.filter(({ backendId }) => backendId === "a").length;
    const listedOnA = await listed(weir, "backend=a", onA);
    expect(new Set(listedOnA.map(({ backend }) => backend))).toEqual(new Set(onA > 0 ? ["a"] : []));
    const { body } = await call(weir, "GET", "/connections?limit=2");
    expect([(body["connections"] as unknown[]).length, body["total"]]).toEqual([2, 6]);
    for (const limit of ["0", "-1", "x", "1.5"]) {
      const { status, body: refused } = await call(weir, "GET", `/connections?limit=${limit}`);
      expect([limit, status, refused["error"]]).toEqual([limit, 400, "bad_request"]);
    }
  });
});

describe("GET /api/users/:user", () => {
  test("tells its tier, connections, backend and the levels of its buckets", async () => {
    const { weir } = await start();
    const client = await openAs(weir, "ann", "vip");
    for (const text of ["one", "two", "six"]) await client.ask(text);
    await listed(weir, "user=ann", 1);
    const { status, body } = await call(weir, "GET", "/users/ann");
    expect(status).toBe(200);
    const user = body as unknown as UserView;
    expect(user).toMatchObject({
      user: "ann",
      tier: "vip",
      backend: client.backendId,
      affinity: { chat: client.backendId },
      connections: [{ user: "ann", messages: { clientToBackend: 3 } }],
      ban: null,
    });
    const [messages, bytes] = user.buckets;
    expect(messages).toMatchObject({ of: "tier", tier: "vip", burst: 10_000, ratePerSecond: 1 / 3_600 });
    expect(messages?.tokens).toBeCloseTo(9_997, 0);
    expect(bytes).toMatchObject({ of: "bytes", tier: "vip", burst: 1_048_576, ratePerSecond: 1 });
    expect(bytes?.tokens).toBeLessThan(1_048_576);
  });

  test("remembers who has left, and answers 404 for whom nobody has heard of", async () => {
    const { weir } = await start();
    const client = await openAs(weir, "ann");
    await client.close(1000);
    // A thread that has closed a connection lists it no more; its place is given back a moment later.
    const body = await until("ann's place is given back", async () => {
      const answer = await call(weir, "GET", "/users/ann");
      return answer.body["tier"] === null && answer.body;
    });
    expect(body).toMatchObject({
      tier: null,
      backend: client.backendId,
      connections: [],
      buckets: [],
      ban: null,
    });
    expect(await call(weir, "GET", "/users/nobody")).toMatchObject({
      status: 404,
      body: { error: "not_found" },
    });
  });

  test("takes any name that a user can have, and no other", async () => {
    const { weir } = await start();
    const name = 'a/b"c{x="y"} é%2F?#';
    const client = await openClient(weir.url, {
      headers: { "X-User": Buffer.from(name).toString("latin1") },
    });
    await listed(weir, `user=${encodeURIComponent(name)}`, 1);
    const { body } = await call(weir, "GET", `/users/${encodeURIComponent(name)}`);
    expect(body).toMatchObject({ user: name, connections: [{ user: name }] });
    const closed = await call(weir, "DELETE", `/users/${encodeURIComponent(name)}/connections`);
    expect(closed.body).toEqual({ closed: 1 });
    await client.closed();
    const hostile = ["a%0Ab", "a%00", "%1b[2J", "%E2%80%A8", "x".repeat(257), "%ff", "%zz"];
    for (const one of hostile) {
      for (const [method, end] of [
        ["GET", ""],
        ["PUT", "/ban"],
        ["DELETE", "/ban"],
        ["DELETE", "/connections"],
      ] as const) {
        const { status, body: refused } = await call(weir, method, `/users/${one}${end}`);
        expect([one, method, status, refused["error"]]).toEqual([one, method, 400, "bad_request"]);
      }
    }
    const { body: metrics } = await ask(`${weir.adminUrl}/metrics`);
    expect(metrics.toString()).not.toContain("a/b");
  });
});

describe("closing by hand", () => {
  test("ends one connection with 1008 `closed by administrator`, and its backend's with 1001", async () => {
    const { weir, backends } = await start();
    const [client, other] = [await openAs(weir, "ann"), await openAs(weir, "ann")];
    const connections = await listed(weir, "user=ann", 2);
    const { status, body } = await call(weir, "DELETE", `/connections/${connections[0]?.id}`);
    expect([status, body]).toEqual([200, { closed: 1 }]);
    expect(await Promise.race([client.closed(), other.closed()])).toEqual({
      code: 1008,
      reason: "closed by administrator",
    });
    const backend = backends.find(({ id }) => id === connections[0]?.backend);
    expect(await backend?.close(0)).toMatchObject({ code: 1001 });
    const left = await listed(weir, "user=ann", 1);
    expect(left[0]?.id).toBe(connections[1]?.id);
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", { code: "1008", by: "weir", reason: "admin" });
    for (const id of [connections[0]?.id, "0-0", "1", "x-y", "1-1-1", "999999999999999999-1"]) {
      expect((await call(weir, "DELETE", `/connections/${id}`)).status).toBe(404);
    }
  });

  test("ends all of a user's connections on every thread, with the code and reason that are asked for", async () => {
    const { weir } = await start();
    const clients = await Promise.all(Array.from({ length: 6 }, () => openAs(weir, "ann")));
    const bystander = await openAs(weir, "bob");
    await listed(weir, "", 7);
    const { body } = await call(weir, "DELETE", "/users/ann/connections?code=4001&reason=moved%20away");
    expect(body).toEqual({ closed: 6 });
    for (const client of clients) expect(await client.closed()).toEqual({ code: 4001, reason: "moved away" });
    expect(await bystander.ask("still there")).toBe("still there");
    await listed(weir, "user=ann", 0);
    expect((await call(weir, "DELETE", "/users/ann/connections")).body).toEqual({ closed: 0 });
  });

  test("sends no code that may not be sent, and no reason that does not fit", async () => {
    const { weir } = await start();
    const client = await openAs(weir, "ann");
    await listed(weir, "user=ann", 1);
    const codes = ["999", "1002", "1004", "1005", "1006", "1007", "1015", "2999", "5000", "x", "", "4000.5"];
    for (const query of [...codes.map((code) => `code=${code}`), `reason=${"é".repeat(62)}`]) {
      const { status, body } = await call(weir, "DELETE", `/users/ann/connections?${query}`);
      expect([query, status, body["error"]]).toEqual([query, 400, "bad_request"]);
    }
    expect(await client.ask("still there")).toBe("still there");
    await call(weir, "DELETE", `/users/ann/connections?code=1013&reason=${"é".repeat(61)}`);
    expect(await client.closed()).toEqual({ code: 1013, reason: "é".repeat(61) });
  });
});

describe("a ban by hand", () => {
  test("ends the user's connections, refuses new ones, shows, and is lifted", async () => {
    const { weir } = await start();
    const client = await openAs(weir, "ann");
    await listed(weir, "user=ann", 1);
    const before = Date.now();
    const { status, body } = await call(weir, "PUT", "/users/ann/ban", { for: "5m", reason: "spam" });
    expect([status, body["closed"]]).toEqual([200, 1]);
    expect(body["ban"]).toEqual({ until: expect.any(String), by: "admin", reason: "spam" });
    expect(await client.closed()).toEqual({ code: 1008, reason: "closed by administrator" });
    const refused = await expectRefusal(weir.url, { headers: { "X-User": "ann" } });
    expect([refused.status, JSON.parse(refused.body)]).toEqual([
      429,
      expect.objectContaining({ error: "banned" }),
    ]);
    const { body: user } = await call(weir, "GET", "/users/ann");
    const { until: end } = (user as unknown as UserView).ban ?? { until: "" };
    expect(Math.round((Date.parse(end) - before) / 60_000)).toBe(5);
    expect((await call(weir, "GET", "/status")).body).toMatchObject({ users: { banned: 1 } });
    expect(await call(weir, "DELETE", "/users/ann/ban")).toEqual({ status: 200, body: { ban: null } });
    expect((await call(weir, "DELETE", "/users/ann/ban")).status).toBe(404);
    await openAs(weir, "ann");
    const told = weir.log.entries.filter(({ message }) => message.endsWith("by an administrator"));
    expect(told.map(({ message, fields }) => [message, fields])).toEqual([
      ["user banned by an administrator", { user: "ann", banMs: 300_000, reason: "spam", connections: 1 }],
      ["ban lifted by an administrator", { user: "ann" }],
    ]);
  });

  test("may be made of who is not there, and replaced by a shorter one", async () => {
    const { weir } = await start();
    const { body: first } = await call(weir, "PUT", "/users/eve/ban");
    expect(first).toMatchObject({ closed: 0, ban: { reason: null } });
    const { body: second } = await call(weir, "PUT", "/users/eve/ban", { for: "1m" });
    const [long, short] = [first, second].map((body) => Date.parse((body["ban"] as { until: string }).until));
    expect(Math.round(((long ?? 0) - (short ?? 0)) / 60_000)).toBe(59);
    expect((await call(weir, "GET", "/users/eve")).body).toMatchObject({ ban: { by: "admin" } });
  });

  test("is refused with 400 where its body is wrong", async () => {
    const { weir } = await start();
    const wrong = [
      { for: "5" },
      { for: "x" },
      { for: 5 },
      { for: "0s" },
      { for: "25h", extra: 1 },
      { reason: 1 },
      [],
      "5m",
    ];
    for (const body of wrong) {
      const { status, body: refused } = await call(weir, "PUT", "/users/ann/ban", body);
      expect([body, status, refused["error"]]).toEqual([body, 400, "bad_request"]);
    }
    expect((await call(weir, "GET", "/users/ann")).status).toBe(404);
  });
});

describe("the stream's busiest users", () => {
  test("are those with the most traffic, with their buckets, while somebody looks", async () => {
    const { weir } = await start();
    const [ann, bob] = [await openAs(weir, "ann", "vip"), await openAs(weir, "bob")];
    await openAs(weir, "idle");
    const stream = await openClient(`${toWebSocketUrl(weir.adminUrl)}/api/stream`);
    interface Busy {
      readonly user: string;
      readonly messagesPerSecond: number;
    }
    const busiest = await until("both are busy", async () => {
      for (let i = 0; i < 9; i += 1) await ann.ask("hello");
      await bob.ask("hello");
      while (stream.waitingMessages > 0) {
        const { busiest: users = [] } = JSON.parse(await stream.nextText()) as { busiest?: Busy[] };
        // Of a dozen in a row at least ten are ann's, whichever of them are the first and the last of a second.
        const messages = users.reduce((sum, { messagesPerSecond }) => sum + messagesPerSecond, 0);
        if (users.length === 2 && messages >= 24) return users;
      }
      return null;
    });
    expect(busiest).toMatchObject([
      { user: "ann", tier: "vip", connections: 1, banned: false, buckets: [{ of: "tier" }, { of: "bytes" }] },
      { user: "bob", tier: "guest", connections: 1, banned: false, buckets: [] },
    ]);
    expect(busiest[0]?.messagesPerSecond).toBeGreaterThan(busiest[1]?.messagesPerSecond ?? 0);
  });
});
