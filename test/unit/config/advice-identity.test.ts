// Warnings where a client can forge what a limit or a ban hangs on, or guess what it is known by.
import { describe, expect, test } from "vitest";

import { formatProblem, loadConfig } from "../../../src/config/load.ts";

/** The warnings about `identity` and `admin`, with lines 1 to 3 of the file given. */
function warningsOf(identity: string, more = ""): string[] {
  const text = `listeners: [":8080"]\npools: { chat: { backends: ["ws://a"] } }\n${identity}\n${more}`;
  const loaded = loadConfig({ text, file: "f", env: {} });
  expect(loaded.ok).toBe(true);
  return loaded.warnings
    .map((problem) => formatProblem(problem, "warning"))
    .filter((warning) => /identity|admin/.test(warning));
}

const BY_COOKIE = "identity: { user: [{ cookie: uid, unsigned: true }, ip] }";

describe("a user that the client can choose", () => {
  test.each([
    ["tiers: { a: { default: true, maxConnectionsPerUser: 2 } }", "tiers.a.maxConnectionsPerUser"],
    ["tiers: { a: { default: true, messages: 5/s } }", "tiers.a.messages"],
    ["tiers: { a: { default: true, bytes: 1MiB/s } }", "tiers.a.bytes"],
    ["limits: { abuse: { violations: 10 } }", "limits.abuse"],
    ["routes: [{ pool: chat, messages: { rate: 5/s } }]", "routes[0].messages"],
    ["routes: [{ pool: chat, requests: 5/s }]", "routes[0].requests"],
  ])("is warned of with %s", (more, key) => {
    const warning = `f:3:30: warning: identity.user[0].cookie: a client can choose it anew, and with it escape ${key}`;
    expect(warningsOf(BY_COOKIE, more)).toEqual([warning]);
  });

  test("is warned of at each such source, with all that hangs on it", () => {
    const identity =
      "identity: { user: [{ header: x-user }, { query: u, unsigned: true }, { cookie: c, unsigned: true }] }";
    const more =
      "tiers: { a: { default: true, messages: 5/s, bytes: 1MiB/s } }\nlimits: { abuse: { violations: 10 } }";
    const keys = "tiers.a.messages, tiers.a.bytes, limits.abuse";
    expect(warningsOf(identity, more)).toEqual([
      `f:3:49: warning: identity.user[1].query: a client can choose it anew, and with it escape ${keys}`,
      `f:3:80: warning: identity.user[2].cookie: a client can choose it anew, and with it escape ${keys}`,
    ]);
  });

  test("is not warned of where nothing hangs on it", () => {
    const more = "tiers: { a: { default: true, maxConnections: 5 } }\nlimits: { maxConnections: 10 }";
    expect(warningsOf(BY_COOKIE, more)).toEqual([]);
  });

  test("is not warned of where only trusted peers name it", () => {
    const more = "tiers: { a: { default: true, messages: 5/s } }";
    expect(warningsOf("identity: { user: [{ header: x-user }, ip] }", more)).toEqual([]);
  });
});

describe("a tier that the client can choose", () => {
  const identity = "identity: { tier: [{ header: x-tier }, { query: tier, unsigned: true }] }";

  test("is warned of where there are several", () => {
    expect(warningsOf(identity, "tiers: { a: { default: true }, vip: {} }")).toEqual([
      "f:3:49: warning: identity.tier[1].query: a client can choose its tier by it: any of a, vip",
    ]);
  });

  test("is not warned of where there is only one", () => {
    expect(warningsOf(identity, "tiers: { a: { default: true, messages: 5/s } }")).toEqual([]);
  });
});

const identityOf = (secret: string) => `identity: { jwt: { secret: ${secret} } }`;

test("a short secret of tokens is warned of, by its bytes and without its text", () => {
  const warning =
    "f:3:28: warning: identity.jwt.secret: is shorter than 32 bytes: it can be guessed from any token";
  expect(warningsOf(identityOf("x".repeat(31)))).toEqual([warning]);
  expect(warningsOf(identityOf("x".repeat(32)))).toEqual([]);
  expect(warningsOf(identityOf("ü".repeat(16)))).toEqual([]);
});

test("a short token of the admin server is warned of, without its text", () => {
  const warning = "f:3:17: warning: admin.token: has fewer than 8 characters: it can be guessed";
  expect(warningsOf("admin: { token: s3cret }")).toEqual([warning]);
  expect(warningsOf("admin: { token: s3cret-2 }")).toEqual([]);
  expect(warningsOf("admin: off")).toEqual([]);
});

const warningOfCookie = (route: number) =>
  `f:3:87: warning: identity.jwt.from[1].cookie: any page can open WebSockets in the name of its visitors: routes[${route}] has no origins`;

test("a token in a cookie is warned of where a route lets any page in", () => {
  const cookie = `identity: { jwt: { secret: ${"x".repeat(32)}, from: [bearer, { cookie: token }] } }`;
  const origins = 'pool: chat, origins: ["https://a.example"]';
  expect(warningsOf(cookie)).toEqual([warningOfCookie(0)]);
  expect(warningsOf(cookie, `routes: [{ match: { path: /a }, ${origins} }, { pool: chat }]`)).toEqual([
    warningOfCookie(1),
  ]);
  expect(warningsOf(cookie, `routes: [{ ${origins} }]`)).toEqual([]);
  expect(warningsOf(cookie, "routes: [{ pool: chat, auth: off }]")).toEqual([]);
});
