// Who is let in by its address: allow and deny of listeners and routes, limits of one address, the health path;
// and the ways around them.
import { afterEach, describe, expect, test, vi } from "vitest";

import { buildProxyHeader } from "../../src/proxy-protocol.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { readRefusal, refusalOf } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

type Section = Readonly<Record<string, unknown>>;

interface Started extends StartedWeir {
  readonly backend: EchoBackend;
}

async function start(listener: Section, config: Section = {}): Promise<Started> {
  const backend = await startEchoBackend();
  const listeners = [{ bind: "127.0.0.1:0", ...listener }];
  const weir = await startInFrontOf(backend.url, { config: { listeners, ...config } });
  return Object.assign(weir, { backend });
}

/** What an upgrade with these lines comes to: 101, or status and CODE. */
async function outcome(url: string, lines: readonly string[] = [], path = "/"): Promise<string> {
  const connection = await connectRaw(url);
  await connection.write(upgradeRequest({ lines, path }));
  const head = await connection.readHead();
  if (head.status === 101) return "101";
  const body = (await connection.readToEnd()).toString();
  return `${head.status} ${(JSON.parse(body) as { error: string }).error}`;
}

const from = (address: string) => `X-Forwarded-For: ${address}`;
const denied = "403 address_denied";
const limited = "429 address_limited";

describe("allow and deny of a listener", () => {
  test("let in who is in allow and not in deny, by the address that a trusted proxy forwards", async () => {
    const { url } = await start({ allow: ["203.0.113.0/24", "2001:db8::/32"], deny: ["203.0.113.66"] });
    const expected: [line: string | null, outcome: string][] = [
      [from("203.0.113.7"), "101"],
      [from("203.0.113.66"), denied],
      [from("192.0.2.1"), denied],
      [from("2001:db8::1"), "101"],
      [from("2001:db9::1"), denied],
      // The proxy itself.
      [null, denied],
      // IPv4 in the clothes of IPv6.
      [from("::ffff:203.0.113.7"), "101"],
      [from("::ffff:203.0.113.66"), denied],
      [from("::FFFF:CB00:7142"), denied],
      [from("0:0:0:0:0:ffff:203.0.113.66"), denied],
      [from("[::ffff:203.0.113.66]:443"), denied],
      [from("203.0.113.66:443"), denied],
      // A zone, which is no part of the address.
      [from("2001:db9::1%eth0"), denied],
      // What the client has written itself stands left of what the proxy adds.
      [from("203.0.113.7, 192.0.2.1"), denied],
      [from("203.0.113.7, 203.0.113.66"), denied],
      [from("203.0.113.7, nonsense"), denied],
    ];
    for (const [line, result] of expected) {
      const seen = await outcome(url, line === null ? [] : [line]);
      expect.soft({ line, seen }).toEqual({ line, seen: result });
    }
  });

  test("believe no header of who is not trusted", async () => {
    const { url, backend } = await start({ allow: ["203.0.113.0/24"] }, { trustedProxies: [] });
    const names = ["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"];
    for (const name of names) expect.soft(await outcome(url, [`${name}: 203.0.113.7`]), name).toBe(denied);
    expect(await outcome(url, ["Forwarded: for=203.0.113.7"])).toBe(denied);
    expect(backend.upgrades).toEqual([]);
  });

  test("go by the client that a PROXY header names", async () => {
    const { httpUrl } = await start({ proxyProtocol: "on", deny: ["203.0.113.66"] });
    const status = async (sourceAddress: string, lines: readonly string[] = []): Promise<number> => {
      const connection = await connectRaw(httpUrl);
      const ends = { sourceAddress, sourcePort: 1, destinationAddress: "192.0.2.1", destinationPort: 80 };
      await connection.write(Buffer.concat([buildProxyHeader(ends), Buffer.from(upgradeRequest({ lines }))]));
      return (await connection.readHead()).status;
    };
    expect(await status("203.0.113.66")).toBe(403);
    expect(await status("203.0.113.66", [from("203.0.113.7")])).toBe(403);
    expect(await status("::ffff:203.0.113.66")).toBe(403);
    expect(await status("203.0.113.7")).toBe(101);
  });

  test("come after what is no upgrade, and before the route; plain requests are held to them too", async () => {
    const { url, httpUrl, log } = await start(
      { deny: ["loopback"] },
      { routes: [{ match: { path: "/chat" }, pool: "chat" }] },
    );
    expect(await outcome(url, [], "/nowhere")).toBe(denied);
    const invalid = await refusalOf(url, upgradeRequest({ omit: ["Sec-WebSocket-Key"] }));
    expect([invalid.status, invalid.code]).toEqual([400, "bad_upgrade"]);
    const plain = await ask(`${httpUrl}/chat`);
    expect(plain.status).toBe(403);
    expect(JSON.parse(plain.body.toString())).toMatchObject({ error: "address_denied" });
    await log.entry(
      "the refusal",
      ({ message, fields, level }) =>
        level === "info" && message === "upgrade refused" && fields["code"] === "address_denied",
    );
  });

  test("close with 1008 under rejectWith: close", async () => {
    const { url } = await start({ deny: ["loopback"] }, { limits: { rejectWith: "close" } });
    expect(await (await openClient(url)).closed()).toEqual({ code: 1008, reason: "address_denied" });
  });

  test("a client on a Unix socket is in no list: allow shuts it out, unless an address is forwarded", async () => {
    const path = `unix:${await temporaryFolder()}/weir.sock`;
    const { url } = await start({ bind: path, allow: ["203.0.113.0/24"] });
    expect([await outcome(url), await outcome(url, [from("203.0.113.7")])]).toEqual([denied, "101"]);
  });
});

describe("allow and deny of a route", () => {
  test("hold for it alone, after the listener's, and follow a reload", async () => {
    const routes = [
      { match: { path: "/office/*" }, pool: "chat", allow: ["10.0.0.0/8"] },
      { match: { path: "/world/*" }, pool: "chat", deny: ["203.0.113.66"] },
    ];
    const weir = await start({ deny: ["10.9.0.0/16"] }, { routes });
    const { url, httpUrl, backend } = weir;
    expect(await outcome(url, [from("10.1.2.3")], "/office/a")).toBe("101");
    expect(await outcome(url, [from("10.9.2.3")], "/office/a")).toBe(denied);
    expect(await outcome(url, [from("203.0.113.7")], "/office/a")).toBe(denied);
    expect(await outcome(url, [from("203.0.113.7")], "/world/a")).toBe("101");
    expect(await outcome(url, [from("203.0.113.66")], "/world/a")).toBe(denied);
    expect(await outcome(url, [from("203.0.113.66")], "/nowhere")).toBe("404 no_route");
    expect((await ask(`${httpUrl}/office/a`, { headers: { "x-forwarded-for": "192.0.2.1" } })).status).toBe(
      403,
    );
    await weir.weir.reload({
      threads: 1,
      listeners: ["127.0.0.1:0"],
      admin: { bind: "127.0.0.1:0" },
      pools: { chat: { healthCheck: "off", backends: [backend.url] } },
      routes: [{ pool: "chat", deny: ["203.0.113.7"] }],
    });
    expect(await outcome(url, [from("203.0.113.7")], "/world/a")).toBe(denied);
    expect(await outcome(url, [from("203.0.113.66")], "/world/a")).toBe("101");
  });
});

describe("limits.perAddress", () => {
  const two = { limits: { perAddress: { connections: 2 } } };

  test("lets so many connections of one address be open, exactly, over all threads, and gives places back", async () => {
    const { url } = await start({}, { ...two, threads: 3 });
    const many = await Promise.all(Array.from({ length: 12 }, () => outcome(url, [from("203.0.113.7")])));
    expect(many.filter((one) => one === "101")).toHaveLength(2);
    expect(many.filter((one) => one === limited)).toHaveLength(10);
    expect(await outcome(url, [from("203.0.113.8")])).toBe("101");
  });

  test("takes the /64 of an IPv6 address, and an IPv4 address in any clothes, for one", async () => {
    const { url } = await start({}, two);
    const lines = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:DB8:1:2::3", "2001:db8:1:3::1"].map(from);
    const seen: string[] = [];
    for (const line of lines) seen.push(await outcome(url, [line]));
    expect(seen).toEqual(["101", "101", limited, "101"]);
    const mapped = ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107", "203.0.113.7:80"].map(from);
    const others: string[] = [];
    for (const line of mapped) others.push(await outcome(url, [line]));
    expect(others).toEqual(["101", "101", limited, limited]);
  });

  test("is not escaped by a header of an untrusted client, another user, path or host", async () => {
    const { url } = await start(
      {},
      { ...two, trustedProxies: [], identity: { user: [{ header: "x-user-id" }] } },
    );
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) {
      const connection = await connectRaw(url);
      const lines = [from(`203.0.113.${i}`), `X-User-Id: ${i}`];
      await connection.write(upgradeRequest({ lines, path: `/${i}`, host: `${i}.test` }));
      seen.push(String((await connection.readHead()).status));
    }
    expect(seen).toEqual(["101", "101", "429", "429"]);
  });

  test("gives the place back on every end: a Close, a cut, a refusal, a client that leaves, a thread that dies", async () => {
    const weir = await start(
      {},
      { limits: { perAddress: { connections: 1 } }, tiers: { a: { maxConnections: 1, default: true } } },
    );
    const { url } = weir;
    const address = [from("203.0.113.7")];
    const isFree = () => until("the place is free", async () => (await outcome(url, address)) === "101");
    const closing = await openClient(url, { headers: { "x-forwarded-for": "203.0.113.7" } });
    expect(await outcome(url, address)).toBe(limited);
    await closing.close(1000);
    await until("the closed one's place is free", async () => {
      const { connection } = await openRaw(url, { lines: address });
      connection.reset();
      return true;
    });
    await until("the cut one's place is free", async () => {
      const { connection } = await openRaw(url, { lines: address });
      connection.finish();
      connection.socket.destroy();
      return true;
    });
    // Refused by the cap of the tier, with the place of its address in hand.
    const other = await until("another address", () =>
      openRaw(url, { lines: [from("203.0.113.8")] }).catch(() => null),
    );
    for (const whose of ["the cut one's", "the refused one's"]) {
      await until(`${whose} place is free`, async () => (await outcome(url, address)) === "503 tier_full");
    }
    other.connection.reset();
    await isFree();
    await weir.weir.workers.kill(0);
    await weir.log.entry("the new thread", ({ message }) => message === "worker thread serves again");
    await isFree();
  });

  test("lets an address ask for new connections at its rate only, whatever comes of them, before any route", async () => {
    const { url, httpUrl } = await start(
      {},
      {
        limits: { perAddress: { upgrades: { rate: "1/h", burst: 3 } } },
        routes: [{ match: { path: "/a" }, pool: "chat" }],
      },
    );
    const seen: string[] = [];
    for (const path of ["/nowhere", "/nowhere", "/a", "/a", "/nowhere"])
      seen.push(await outcome(url, [], path));
    expect(seen).toEqual(["404 no_route", "404 no_route", "101", limited, limited]);
    expect(await outcome(url, [from("203.0.113.7")], "/a")).toBe("101");
    const connection = await connectRaw(url);
    await connection.write(upgradeRequest());
    const { head } = await readRefusal(connection);
    expect(Number(head.header("retry-after"))).toBeGreaterThan(0);
    expect((await ask(`${httpUrl}/a`)).status).toBe(200);
  });

  test("closes with 1013 under rejectWith: close", async () => {
    const { url } = await start({}, { limits: { perAddress: { connections: 1 }, rejectWith: "close" } });
    await openClient(url);
    expect(await (await openClient(url)).closed()).toEqual({ code: 1013, reason: "address_limited" });
  });
});

describe("healthPath", () => {
  afterEach(() => void vi.restoreAllMocks());

  test("answers like /readyz to whoever asks, and 503 while Weir drains", async () => {
    const { httpUrl, url, weir, backend } = await start(
      { healthPath: "/weir-health", deny: ["loopback"] },
      { shutdown: { readyDelay: "1m", timeout: "2m" } },
    );
    const health = (path: string) => ask(`${httpUrl}${path}`);
    const ready = await health("/weir-health");
    expect([ready.status, ready.body.toString()]).toEqual([200, "ready\n"]);
    expect((await health("/weir-health?pool=chat")).status).toBe(200);
    expect((await health("/weir-health?pool=none")).status).toBe(503);
    // Nothing else opens by it.
    for (const path of ["/weir-health/", "/weir-healthy", "/weir%2Dhealth", "/other", "/WEIR-HEALTH"]) {
      expect.soft((await health(path)).status, path).toBe(403);
    }
    expect((await ask(`${httpUrl}/weir-health`, { method: "POST" })).status).toBe(403);
    expect(await outcome(url, [], "/weir-health")).toBe(denied);
    const drained = weir.drain();
    const draining = await health("/weir-health");
    expect([draining.status, draining.body.toString()]).toEqual([503, "not ready\n"]);
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 61_000);
    await drained;
    expect(backend.requests).toEqual([]);
  });

  test("is a path like any other where it is off", async () => {
    const { httpUrl, backend } = await start({});
    await ask(`${httpUrl}/weir-health`);
    expect(backend.requests.map(({ url }) => url)).toEqual(["/weir-health"]);
  });
});
