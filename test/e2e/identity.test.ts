// Who a client is, as its backend and the log are told: each source, trusted peers and strangers,
// upgrades and plain requests alike, and values that a hostile client would send.
import { describe, expect, test } from "vitest";

import { startEchoBackend, type EchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest, type UpgradeRequestOptions } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const tiers = { vip: {}, guest: { default: true } };

const identity = {
  user: [{ header: "x-user-id" }, { cookie: "uid", unsigned: true }, { query: "user", unsigned: true }, "ip"],
  tier: [{ header: "x-user-tier" }, { cookie: "plan", unsigned: true }, { query: "tier", unsigned: true }],
};

const LOOPBACK = "ip:127.0.0.1";

type Kind = "an upgrade" | "a plain request";
type Head = Pick<UpgradeRequestOptions, "path" | "lines">;
type Config = Readonly<Record<string, unknown>>;
type Row = [what: string, head: Head, user: string, tier: string];

describe.each<Kind>(["an upgrade", "a plain request"])("%s", (kind) => {
  const fromAnyone: Row[] = [
    ["nothing", {}, LOOPBACK, "guest"],
    ["a cookie", { lines: ["Cookie: a=1; uid=ann; plan=vip"] }, "ann", "vip"],
    ["a cookie on a line of its own", { lines: ["Cookie: a=1", "Cookie: uid=ann"] }, "ann", "guest"],
    ["a query", { path: "/chat?x=1&user=ann&tier=vip" }, "ann", "vip"],
    ["an unknown tier", { path: "/?user=ann&tier=platinum" }, "ann", "guest"],
    ["Weir's own headers", { lines: ["X-Weir-User: ann", "X-Weir-Tier: vip"] }, LOOPBACK, "guest"],
    ["headers of trusted peers", { lines: ["X-User-Id: ann", "X-User-Tier: vip"] }, LOOPBACK, "guest"],
    ["an address", { lines: ["X-Forwarded-For: 203.0.113.7"] }, LOOPBACK, "guest"],
  ];
  test("of a stranger is known by what anyone may say", async () => {
    expect(await identified(kind, fromAnyone, { trustedProxies: [] })).toEqual(expected(fromAnyone));
  });

  const fromTrusted: Row[] = [
    ["a header", { lines: ["X-User-Id: ann", "X-User-Tier: vip"] }, "ann", "vip"],
    ["a header before a cookie", { lines: ["X-User-Id: ann", "Cookie: uid=bob"] }, "ann", "guest"],
    ["its header behind the client's", { lines: ["X-User-Id: eve", "x-user-id: ann"] }, LOOPBACK, "guest"],
    ["its value behind the client's", { lines: ["X-User-Id: eve, ann"] }, LOOPBACK, "guest"],
    ["an address", { lines: ["X-Forwarded-For: 203.0.113.7"] }, "ip:203.0.113.7", "guest"],
    ["an IPv6 one", { lines: ["X-Forwarded-For: 2001:DB8:1:2::7"] }, "ip:2001:db8:1:2::/64", "guest"],
  ];
  test("of a trusted peer is known by its headers first", async () => {
    expect(await identified(kind, fromTrusted, {})).toEqual(expected(fromTrusted));
  });

  const hostile = [
    ["a header of 10 KiB", { lines: [`X-User-Id: ${"x".repeat(10_240)}`] }],
    ["a cookie of 10 KiB", { lines: [`Cookie: uid=${"x".repeat(10_240)}`] }],
    ["a query of 10 KiB", { path: `/?user=${"x".repeat(10_240)}` }],
    ["a tier of 10 KiB", { path: `/?tier=${"x".repeat(10_240)}` }],
    ["bytes that are no UTF-8", { lines: ["X-User-Id: \u00ff"] }],
    ["a control character of Latin-1", { lines: ["X-User-Id: a\u0085b"] }],
    ["NUL in the query", { path: "/?user=a%00b" }],
    ["a header in the query", { path: "/?user=a%0d%0aX-Weir-Tier:%20vip" }],
    ["a line feed in a cookie", { lines: ["Cookie: uid=a%0Ab"] }],
    ["a line separator", { path: "/?user=a%E2%80%A8b" }],
    ["a lone surrogate", { path: "/?user=%ED%A0%80" }],
    ["an address of another", { path: "/?user=ip:10.0.0.1" }],
    ["an encoded address of another", { lines: ["Cookie: uid=%69p:10.0.0.1"] }],
    ["its address in a header", { lines: ["X-User-Id: ip:10.0.0.1"] }],
  ] satisfies [string, Head][];
  test("with a value that is none is nobody but its address", async () => {
    const rows = hostile.map(([what, head]): Row => [what, head, LOOPBACK, "guest"]);
    expect(await identified(kind, rows, {})).toEqual(expected(rows));
  });

  const forged = { lines: ["X-User-Id: admin", "X_User_Tier: vip", "X-Real-IP: 10.0.0.1"] };
  const names = ["x-user-id", "x_user_tier", "x-real-ip"];

  test("of a stranger loses the headers that only trusted peers may send", async () => {
    const config = { clientIpHeader: "x-real-ip", trustedProxies: [] };
    const [seen] = await seenByBackend(kind, [forged], config);
    expect(names.map((name) => seen?.headers[name])).toEqual([undefined, undefined, undefined]);
  });

  test("of a trusted peer keeps them", async () => {
    const [seen] = await seenByBackend(kind, [forged], { clientIpHeader: "x-real-ip" });
    expect(names.map((name) => seen?.headers[name])).toEqual(["admin", "vip", "10.0.0.1"]);
  });
});

describe("a user beyond ASCII", () => {
  test.each([
    ["a header", { "X-User-Id": Buffer.from("jürgen 🎲").toString("latin1") }, ""],
    ["a cookie", { Cookie: "uid=j%C3%BCrgen%20%F0%9F%8E%B2" }, ""],
    ["the query", {}, "?user=j%C3%BCrgen+%F0%9F%8E%B2"],
  ])("is the same one from %s, encoded for the backend and plain in the log", async (_, headers, query) => {
    const backend = await startEchoBackend();
    const weir = await start(backend, {});
    const client = await openClient(`${weir.url}/${query}`, { headers });
    await client.close(1000);
    expect(backend.upgrades[0]?.headers["x-weir-user"]).toBe("j%C3%BCrgen%20%F0%9F%8E%B2");
    const { fields } = await weir.log.entry(
      "the access line",
      ({ message }) => message === "connection closed",
    );
    expect(fields).toMatchObject({ user: "jürgen 🎲", tier: "guest", address: "127.0.0.1" });
  });
});

function start(backend: EchoBackend, config: Config): Promise<StartedWeir> {
  return startInFrontOf(backend.url, { config: { identity, tiers, ...config } });
}

function expected(rows: readonly Row[]): string[][] {
  return rows.map(([what, , user, tier]) => [what, user, tier]);
}

/** The user and tier of each row as the backend heard of them: every line, should there be several. */
async function identified(kind: Kind, rows: readonly Row[], config: Config): Promise<string[][]> {
  const heads = rows.map(([, head]) => head);
  const seen = await seenByBackend(kind, heads, config);
  return rows.map(([what], i) => {
    const { rawHeaders = [] } = seen[i] ?? {};
    const lines = ["x-weir-user", "x-weir-tier"].flatMap((name) => valuesOf(rawHeaders, name));
    return [what, ...lines];
  });
}

/** One request or upgrade for each head, one after the other; heads are sent as Latin-1. */
async function seenByBackend(
  kind: Kind,
  heads: readonly Head[],
  config: Config,
): Promise<EchoBackend["upgrades"]> {
  const backend = await startEchoBackend();
  const weir = await start(backend, config);
  for (const head of heads) {
    const client = await connectRaw(weir.url);
    const isUpgrade = kind === "an upgrade";
    await client.write(Buffer.from(isUpgrade ? upgradeRequest(head) : plainRequest(head), "latin1"));
    expect((await client.readHead()).status).toBe(isUpgrade ? 101 : 200);
  }
  return kind === "an upgrade" ? backend.upgrades : backend.requests;
}

function plainRequest({ path = "/", lines = [] }: Head): string {
  return [`GET ${path} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join("\r\n");
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);
}
