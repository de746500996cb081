// `/api/explain` and `weir explain`: what is said of a request that nobody sends is what becomes of one that
// somebody does, and nobody is dialled, asked, counted or banned for it.
import { describe, expect, test } from "vitest";

import type { Explained } from "../../src/admin/api/explain.ts";
import { startAuthServer } from "../support/auth-service.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { runWeir } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { DEFAULT_SECRET, edKeys, signToken } from "../support/tokens.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

interface Asked {
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Started extends StartedWeir {
  readonly backends: readonly EchoBackend[];
}

const tiers = {
  vip: { messages: { rate: "100/s", burst: 200 }, bytes: "1MiB/s" },
  guest: { default: true, maxConnections: 3, maxConnectionsPerUser: 2 },
};

const identity = {
  user: [{ header: "X-User" }, { cookie: "sid", unsigned: true }, "ip"],
  tier: [{ header: "X-Tier" }],
};

const routes = [
  { match: { path: "/own" }, pool: "chat", origins: ["self"] },
  { match: { path: "/slow" }, pool: "chat", messages: { rate: "1/s", burst: 2, onExceed: "drop" } },
  { match: { path: "/chat" }, pool: "chat" },
  { match: { path: "/ws-only" }, pool: "chat", http: "reject" },
];

async function start(config: object = {}, pool: object = {}): Promise<Started> {
  const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  const weir = await startInFrontOf(
    backends.map(({ id, url }) => ({ id, url, capacity: 2 })),
    { config: { identity, tiers, routes, ...config }, pool: { affinity: { by: "user" }, ...pool } },
  );
  return Object.assign(weir, { backends });
}

async function explain(
  { adminUrl, url }: StartedWeir,
  { path = "/chat", headers = {} }: Asked = {},
  more: object = {},
): Promise<Explained> {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const answer = await fetch(`${adminUrl}/api/explain`, {
    method: "POST",
    body: JSON.stringify({ url: `${url}${path}`, headers: lines, ...more }),
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Explained;
}

describe("what is said of an upgrade", () => {
  test.each<[string, Asked]>([
    ["without anything", {}],
    ["by its headers", { headers: { "X-User": "ann", "X-Tier": "vip" } }],
    ["by a cookie, of a tier that there is not", { headers: { Cookie: "sid=bob", "X-Tier": "platinum" } }],
    ["from behind a trusted proxy", { path: "/slow", headers: { "X-Forwarded-For": "1.2.3.4, 127.0.0.2" } }],
    ["with a name of another script", { headers: { "X-User": "jos%C3%A9" } }],
  ])("is what happens to one %s", async (_, asked) => {
    const weir = await start();
    const { client, refusal } = await explain(weir, asked);
    expect(refusal).toBeNull();
    const { backendId } = await openClient(`${weir.url}${asked.path ?? "/chat"}`, {
      headers: asked.headers ?? {},
    });
    const { headers } = weir.backends.find(({ id }) => id === backendId)?.upgrades[0] ?? {};
    expect(headers).toMatchObject({
      "x-weir-user": encodeURIComponent(client?.user ?? "").replaceAll("%3A", ":"),
      "x-weir-tier": client?.tier,
    });
    expect(String(headers?.["x-forwarded-for"]).split(", ")[0]).toBe(client?.address);
    // Whoever has been there goes there again, and that is said as well.
    expect((await explain(weir, asked)).pool).toMatchObject({ own: backendId, choice: backendId });
  });

  test.each<[string, Asked]>([
    ["no_route", { path: "/nowhere" }],
    ["origin_not_allowed", { path: "/own", headers: { Origin: "https://evil.example" } }],
    ["bad_request", { path: "/chat", headers: { Host: "a b" } }],
    ["bad_upgrade", { headers: { "Sec-WebSocket-Version": "12" } }],
    ["head_too_large", { headers: { "X-Large": "x".repeat(20_000) } }],
  ])("that would be refused names the refusal: %s", async (code, asked) => {
    const weir = await start();
    expect(await explain(weir, asked)).toMatchObject({ refusal: { code }, limits: null, pool: null });
  });

  test("names a cap that is reached, and the backends that are full", async () => {
    const weir = await start();
    const guest = { headers: { "X-User": "ann" } };
    await Promise.all([1, 2].map(() => openClient(`${weir.url}/chat`, guest)));
    expect(await explain(weir, guest)).toMatchObject({
      refusal: { code: "user_full", status: 429, closeCode: 1008 },
      limits: { tier: { open: 2, limit: 3 }, user: { open: 2, limit: 2 } },
    });
    expect((await expectRefusal(`${weir.url}/chat`, guest)).body).toContain("user_full");
    const vip = { headers: { "X-User": "bob", "X-Tier": "vip" } };
    expect((await explain(weir, vip)).refusal).toBeNull();
    await Promise.all([1, 2].map(() => openClient(`${weir.url}/chat`, vip)));
    const full = await explain(weir, { headers: { "X-Tier": "vip" } });
    expect(full).toMatchObject({ refusal: { code: "backends_full", status: 503 } });
    expect(full.pool?.backends.map(({ obstacle }) => obstacle)).toEqual(["full", "full"]);
  });

  test("names what keeps backends from it, and where it would wait", async () => {
    const weir = await start({}, { queue: { size: 5, timeout: "5s" } });
    await fetch(`${weir.adminUrl}/api/pools/chat/backends/a`, {
      method: "PUT",
      body: '{"state":"draining"}',
    });
    expect((await explain(weir)).pool).toMatchObject({
      choice: "b",
      backends: [
        { id: "a", obstacle: "draining" },
        { id: "b", obstacle: null },
      ],
    });
    await Promise.all(
      ["x", "y"].map((user) => openClient(`${weir.url}/chat`, { headers: { "X-User": user } })),
    );
    expect(await explain(weir)).toMatchObject({
      refusal: null,
      pool: { choice: null, queue: { waiting: 0, size: 5 } },
    });
  });

  test("names the limits that it would live by", async () => {
    const weir = await start();
    expect((await explain(weir, { path: "/slow", headers: { "X-Tier": "vip" } })).limits).toMatchObject({
      messages: [
        { of: "tier", ratePerSecond: 100, burst: 200 },
        { of: "route", ratePerSecond: 1, burst: 2 },
      ],
      bytes: { ratePerSecond: 1_048_576 },
      onExceed: "drop",
    });
  });

  test("takes nothing: no connection, no count, no turn", async () => {
    const weir = await start({}, { balance: "round-robin", affinity: "off" });
    for (let turn = 0; turn < 3; turn += 1) await explain(weir);
    const seen = [];
    for (let turn = 0; turn < 4; turn += 1) {
      const headers = { "X-User": `user-${turn}`, "X-Tier": "vip" };
      await explain(weir, { headers });
      const { backendId } = await openClient(`${weir.url}/chat`, { headers });
      seen.push(backendId);
    }
    expect([seen.slice(0, 2).toSorted(), seen.slice(2)]).toEqual([["a", "b"], seen.slice(0, 2)]);
    await explain(weir, { path: "/nowhere" });
    // Counted a moment after the client is served.
    await untilMetric(weir.adminUrl, 4, "weir_upgrades_total");
    expect((await scrape(weir.adminUrl)).sum("weir_http_requests_total")).toBe(0);
  });
});

describe("what is said of a plain request", () => {
  test("needs no slot, and names a route that has none", async () => {
    const weir = await start();
    expect(await explain(weir, {}, { url: `${weir.httpUrl}/chat` })).toMatchObject({
      kind: "request",
      refusal: null,
    });
    expect(await explain(weir, {}, { url: `${weir.httpUrl}/ws-only` })).toMatchObject({
      refusal: { code: "http_rejected", status: 426 },
    });
    const expecting = { headers: { Expect: "the-unexpected" } };
    expect((await explain(weir, expecting, { url: `${weir.httpUrl}/chat` })).refusal).toMatchObject({
      code: "bad_request",
      message: expect.stringContaining("417"),
    });
  });
});

describe("the client's address", () => {
  const forwarded = { headers: { "X-Forwarded-For": "1.2.3.4", "X-User": "eve" } };

  test("is believed from a trusted peer only, and so are identity headers", async () => {
    const weir = await start();
    expect((await explain(weir, forwarded)).client).toMatchObject({
      peer: "127.0.0.1",
      address: "1.2.3.4",
      addressFrom: "x-forwarded-for",
      user: "eve",
      userFrom: "header x-user",
      tierFrom: "default",
    });
    const stranger = await explain(weir, forwarded, { from: "203.0.113.9" });
    expect(stranger.client).toMatchObject({
      address: "203.0.113.9",
      addressFrom: "peer",
      isHeaderIgnored: true,
      user: "ip:203.0.113.9",
      userFrom: "ip",
      isSharedAddress: true,
    });
    expect(stranger.pool?.noAffinity).toMatch(/many/);
    expect((await explain(weir, {}, { from: "unix" })).client).toMatchObject({ peer: "", address: "" });
  });
});

describe("an address that is not let in", () => {
  const denied = { code: "address_denied", message: "clients of this address (10.0.0.1) are not let in" };

  test("is refused on its route, or where no listener lets it in, and noted where one does not", async () => {
    const rules = { deny: ["10.0.0.0/8"] };
    const byRoute = await start({
      routes: [{ pool: "chat", ...rules }],
      limits: { perAddress: { connections: 9 } },
    });
    expect((await explain(byRoute, {}, { from: "10.0.0.1" })).refusal).toMatchObject(denied);
    expect(await explain(byRoute)).toMatchObject({
      refusal: null,
      unasked: ["limits.perAddress, of which this address may have used its share"],
    });
    const closed = { bind: "127.0.0.1:0", ...rules };
    const everywhere = await start({ listeners: [closed] });
    expect((await explain(everywhere, {}, { from: "10.0.0.1" })).refusal).toMatchObject(denied);
    const here = await start({ listeners: [closed, "127.0.0.1:0"] });
    expect(await explain(here, {}, { from: "10.0.0.1" })).toMatchObject({
      refusal: null,
      unasked: ["the listener 127.0.0.1:0, which does not let this address in"],
    });
  });
});

describe("credentials", () => {
  test("in a token are verified where the key is here", async () => {
    const jwt = { secret: DEFAULT_SECRET };
    const weir = await start({ identity: { jwt, tier: [{ jwt: "plan" }] } });
    const token = signToken({ sub: "ann", plan: "vip" });
    const shown = { headers: { Authorization: `Bearer ${token}` } };
    expect((await explain(weir, shown)).client).toMatchObject({
      user: "ann",
      userFrom: "jwt sub",
      tier: "vip",
      tierFrom: "jwt plan",
    });
    expect((await explain(weir)).refusal).toMatchObject({ code: "unauthorized", status: 401 });
    const forged = { headers: { Authorization: `Bearer ${token.slice(0, -2)}AA` } };
    expect((await explain(weir, forged)).refusal).toMatchObject({ code: "unauthorized" });
  });

  test("that others would have to be asked for are named, and nobody is asked", async () => {
    const service = await startAuthServer((response) => void response.end());
    const weir = await start({
      identity: {
        jwt: { jwksUrl: `${service.url}/jwks` },
        forwardAuth: { url: `${service.url}/auth`, copyHeaders: ["authorization"] },
      },
    });
    const token = signToken({ sub: "ann" }, { algorithm: "EdDSA", key: edKeys().privateKey });
    const { unasked, client } = await explain(weir, { headers: { Authorization: `Bearer ${token}` } });
    expect(unasked).toEqual([
      "identity.jwt.jwksUrl, for the key of the token; it may name user and tier",
      "identity.forwardAuth, whether it lets the client in; it may name user and tier",
    ]);
    expect(client?.user).toBe("ip:127.0.0.1");
    expect(service.questions.filter(({ url }) => url === "/auth")).toEqual([]);
  });
});

describe("a question", () => {
  test("may be a query as well", async () => {
    const weir = await start();
    const query = new URLSearchParams([
      ["url", "ws://chat.example/slow?x=1"],
      ["header", "X-User: ann"],
      ["header", "X-Tier: vip"],
    ]);
    const answer = await fetch(`${weir.adminUrl}/api/explain?${query.toString()}`);
    expect(await answer.json()).toMatchObject({
      target: { host: "chat.example", path: "/slow" },
      client: { user: "ann", tier: "vip" },
    });
  });

  test.each([
    {},
    { url: "" },
    { url: "ftp://a/b" },
    { url: "ws://user:password@a/b" },
    { url: "ws:///b" },
    { url: "/a", headers: ["no colon"] },
    { url: "/a", headers: ["X-A: b\r\nX-C: d"] },
    { url: "/a", headers: [1] },
    { url: "/a", from: "nobody" },
    { url: "/a", surplus: 1 },
  ])("like %j is answered 400", async (body) => {
    const weir = await start();
    const answer = await fetch(`${weir.adminUrl}/api/explain`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: "bad_request" }]);
  });
});

describe("weir explain", () => {
  test("tells it in lines", async () => {
    const weir = await start();
    await fetch(`${weir.adminUrl}/api/pools/chat/backends/a`, {
      method: "PUT",
      body: '{"state":"draining"}',
    });
    const args = ["explain", "ws://chat.example/slow", "-H", "X-User: ann", "-H", "X-Tier: vip"];
    const run = await runWeir([...args, "--admin", weir.adminUrl]);
    expect(run).toMatchObject({ code: 0, stderr: "" });
    for (const line of [
      "goes to chat/b",
      "request     WebSocket upgrade, host chat.example, path /slow",
      "route       */slow to pool chat",
      "address     127.0.0.1 (the peer's own, in trustedProxies)",
      "user        ann (from header x-user)",
      "tier        vip (from header x-tier)",
      "messages    100/s, burst 200 of the tier and 1/s, burst 2 of the route; above it drop",
    ]) {
      expect(run.stdout.split("\n")).toContain(line);
    }
    expect(run.stdout).toMatch(/^ {2}a +draining +0 +2 +1$/m);
    expect(run.stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  test("says of a refusal what the client would get, and with --json what the API gives", async () => {
    const weir = await start();
    const args = ["explain", "/nowhere", "--from", "203.0.113.9", "--admin", weir.adminUrl];
    expect((await runWeir(args)).stdout).toMatch(/^refused: no_route \(status 404, close 1008\): no route/);
    const { stdout } = await runWeir([...args, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ refusal: { code: "no_route" }, client: null });
    expect(await runWeir(["explain", "ftp://a", "--admin", weir.adminUrl])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("url: needs ws://host/path"),
    });
  });
});
