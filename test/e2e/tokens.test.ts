// Tokens (JWT): where they may be, the exact answers to those that are missing or bad, who the client is by
// them, and where they never show up.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { chromium, launchChromium } from "../support/chromium.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend, type EchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest, type UpgradeRequestOptions } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { isMissing } from "../support/requirement.ts";
import { acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { DEFAULT_SECRET, edKeys, inSeconds, signToken, unsigned } from "../support/tokens.ts";

const from = ["bearer", { query: "access_token" }, { cookie: "token" }, "subprotocol"];
const tiers = { vip: {}, guest: { default: true } };
const routes = [
  { match: { path: "/open" }, pool: "chat", auth: "off" },
  { match: { path: "/optional" }, pool: "chat", auth: "optional" },
  { pool: "chat" },
];

type Section = Readonly<Record<string, unknown>>;

function configWith(jwt: Section = {}, more: Section = {}): Section {
  const identity = { tier: [{ jwt: "plan" }], jwt: { secret: DEFAULT_SECRET, from, ...jwt } };
  return { identity, tiers, routes, ...more };
}

async function start(
  jwt: Section = {},
  more: Section = {},
): Promise<StartedWeir & { readonly backend: EchoBackend }> {
  const backend = await startEchoBackend();
  return Object.assign(await startInFrontOf(backend.url, { config: configWith(jwt, more) }), { backend });
}

const ann = signToken({ sub: "ann", plan: "vip" });

/** The same token in each place. */
const places: [string, (token: string) => UpgradeRequestOptions][] = [
  ["the Authorization header", (token) => ({ lines: [`Authorization: Bearer ${token}`] })],
  ["the query", (token) => ({ path: `/?x=1&access_token=${token}` })],
  ["a cookie", (token) => ({ lines: [`Cookie: a=1; token=${token}`] })],
  ["the subprotocols", (token) => ({ protocols: ["bearer", token, "chat.v2", "chat.v1"] })],
];

describe.each(places)("a token in %s", (_place, showing) => {
  test("says who the client is", async () => {
    const { url, backend } = await start();
    await openRaw(url, showing(ann));
    expect(backend.upgrades[0]?.headers).toMatchObject({ "x-weir-user": "ann", "x-weir-tier": "vip" });
  });

  const bad: [string, string, string][] = [
    ["that has expired", signToken({ sub: "ann", exp: inSeconds(-10) }), "the token has expired"],
    ["that is not valid yet", signToken({ sub: "ann", nbf: inSeconds(600) }), "the token is not valid yet"],
    [
      "of another secret",
      signToken({ sub: "ann" }, { key: "another" }),
      "the signature of the token is wrong",
    ],
    [
      "without a signature",
      `${unsigned({ sub: "ann" }, { alg: "none" })}.AAAA`,
      "the algorithm of the token is not allowed",
    ],
    ["that is none", "garbage", "the token is malformed"],
  ];
  test("that is bad gets 401 unauthorized, also where none is needed", async () => {
    const weir = await start();
    for (const [, token, message] of bad) {
      for (const path of [undefined, "/optional"]) {
        const shown = showing(token);
        const upgrade = { ...shown, path: (shown.path ?? "/").replace("/", path ?? "/") };
        const refusal = await refusalOf(weir.url, upgradeRequest(upgrade));
        expect(refusal).toMatchObject({ status: 401, code: "unauthorized", message });
        expect(refusal.head.header("www-authenticate")).toBe('Bearer error="invalid_token"');
      }
    }
    await untilMetric(weir.adminUrl, 2 * bad.length, "weir_upgrades_total", { result: "unauthorized" });
    expect(weir.backend.upgrades).toEqual([]);
  });

  test("is not written into any log, whether it is good or bad", async () => {
    const weir = await start({}, { log: { level: "trace" } });
    const tokens = [ann, ...bad.map(([, token]) => token)];
    for (const token of tokens) {
      await openRaw(weir.url, showing(token)).then(
        ({ connection }) => connection.sendClose(1000),
        () => null,
      );
      await refusalOf(weir.url, upgradeRequest({ ...showing(token), version: "12" }));
      const { path = "/", lines = [] } = showing(token);
      const plain = await connectRaw(weir.url);
      await plain.write(
        [`GET ${path} HTTP/1.1`, "Host: a", "Connection: close", ...lines, "", ""].join("\r\n"),
      );
      await plain.readToEnd();
    }
    await weir.log.entry("the access line", ({ message }) => message === "connection closed");
    const remembered = await ask(`${weir.adminUrl}/api/logs?level=debug&limit=10000`);
    expect(remembered.body.toString()).toContain("connection closed");
    const logged = JSON.stringify(weir.log.entries) + remembered.body.toString();
    const secrets = tokens.flatMap((token) => token.split(".")).filter((part) => part.length > 5);
    expect(secrets.filter((part) => logged.includes(part))).toEqual([]);
    expect(logged).not.toContain(DEFAULT_SECRET);
  });
});

describe("without a token", () => {
  test("an upgrade gets 401 unauthorized and what is asked for", async () => {
    const weir = await start();
    for (const lines of [[], ["Authorization: Basic YTpi"], ["Cookie: token="]]) {
      const refusal = await refusalOf(weir.url, upgradeRequest({ lines }));
      expect(refusal).toMatchObject({ status: 401, code: "unauthorized", message: "a token is needed" });
      expect(refusal.head.header("www-authenticate")).toBe("Bearer");
      expect(refusal.head.header("connection")).toBe("close");
    }
  });

  test("a plain request gets the same, and its socket stays open", async () => {
    const weir = await start();
    const keep = { headers: { Connection: "keep-alive" } };
    const { status, headers, body } = await ask(weir.httpUrl, keep);
    expect({ status, challenge: headers["www-authenticate"] }).toEqual({ status: 401, challenge: "Bearer" });
    expect(headers.connection).toBe("keep-alive");
    expect(JSON.parse(body.toString())).toMatchObject({ error: "unauthorized" });
    await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { code: "401" });
  });

  test.each(["/optional", "/open"])("%s is open, to an address", async (path) => {
    const { url, httpUrl, backend } = await start();
    await openRaw(url, { path });
    expect(backend.upgrades[0]?.headers["x-weir-user"]).toBe("ip:127.0.0.1");
    expect((await ask(httpUrl + path)).status).toBe(200);
  });

  test("with rejectWith: close it is closed with 3000 unauthorized", async () => {
    const { url } = await start({}, { limits: { rejectWith: "close" } });
    const { connection, response } = await openRaw(url);
    expect(await connection.nextClose()).toEqual({ code: 3000, reason: "unauthorized" });
    expect(response.header("sec-websocket-protocol")).toBeUndefined();
  });
});

test("auth: off looks at no token, and takes none away", async () => {
  const { url, backend } = await start();
  const path = "/open?access_token=garbage";
  await openRaw(url, { path, lines: ["Authorization: Bearer garbage"] });
  expect(backend.upgrades[0]?.url).toBe(path);
  expect(backend.upgrades[0]?.headers).toMatchObject({
    authorization: "Bearer garbage",
    "x-weir-user": "ip:127.0.0.1",
    "x-weir-tier": "guest",
  });
});

test("auth: optional knows whose token is there", async () => {
  const { url, backend } = await start();
  await openRaw(url, { path: `/optional?access_token=${ann}` });
  expect(backend.upgrades[0]?.headers["x-weir-user"]).toBe("ann");
});

test("a plain request is known by its token as well, and its query goes on without it", async () => {
  const { httpUrl, backend } = await start();
  await ask(`${httpUrl}/a?access_token=${ann}&b=%20c`);
  expect(backend.requests[0]).toMatchObject({ url: "/a?b=%20c", headers: { "x-weir-user": "ann" } });
  await ask(httpUrl, { headers: { Authorization: `Bearer ${ann}` } });
  expect(backend.requests[1]?.headers).toMatchObject({
    "x-weir-tier": "vip",
    authorization: `Bearer ${ann}`,
  });
  expect((await ask(httpUrl, { headers: { Authorization: "Bearer x" } })).status).toBe(401);
});

test("the backend gets an upgrade's query without the token, and Authorization and cookies with it", async () => {
  const { url, backend } = await start();
  await openRaw(url, { path: `/p?a=1&access_token=${ann}&b=2` });
  expect(backend.upgrades[0]?.url).toBe("/p?a=1&b=2");
  await openRaw(url, { lines: [`Authorization: Bearer ${ann}`, `Cookie: token=${ann}`] });
  const { authorization, cookie } = backend.upgrades[1]?.headers ?? {};
  expect([authorization, cookie]).toEqual([`Bearer ${ann}`, `token=${ann}`]);
});

/** What the backend was offered, and what the client was answered. */
async function agreed(protocols: readonly string[], selected?: string) {
  let offered: string | undefined;
  const backend = await startScriptedBackend(async (connection) => {
    const request = await acceptUpgrade(connection, selected === undefined ? {} : { protocol: selected });
    offered = request.header("sec-websocket-protocol");
  });
  const weir = await startInFrontOf(backend.url, { config: configWith() });
  const { response } = await openRaw(weir.url, { protocols });
  return { offered, answered: response.header("sec-websocket-protocol") };
}

describe("a token among the subprotocols", () => {
  test("is not offered to the backend, whose choice of another is the client's answer", async () => {
    expect(await agreed(["bearer", ann, "chat.v2", "chat.v1"], "chat.v1")).toEqual({
      offered: "chat.v2, chat.v1",
      answered: "chat.v1",
    });
  });

  test("is answered with bearer where the backend selects none", async () => {
    expect(await agreed(["bearer", ann, "chat"])).toEqual({ offered: "chat", answered: "bearer" });
    expect(await agreed(["bearer", ann])).toEqual({ offered: undefined, answered: "bearer" });
  });

  test.each(["bearer", ann])("cannot be selected by the backend", async (selected) => {
    await expect(agreed(["bearer", ann, "chat"], selected)).rejects.toThrow(/502/);
  });

  test("is answered with nothing of the kind where the token was elsewhere", async () => {
    const { url } = await start();
    const { response } = await openRaw(url, { lines: [`Authorization: Bearer ${ann}`] });
    expect(response.header("sec-websocket-protocol")).toBeUndefined();
  });

  test("that is refused by a Close selects the app's subprotocol, or bearer where there is none", async () => {
    const { url } = await start({}, { limits: { rejectWith: "close" } });
    for (const [protocols, selected] of [
      [["bearer", "bad", "chat"], "chat"],
      [["bearer", "bad"], "bearer"],
      [["chat"], "chat"],
    ] as const) {
      const { connection, response } = await openRaw(url, { protocols });
      expect(response.header("sec-websocket-protocol")).toBe(selected);
      expect(await connection.nextClose()).toEqual({ code: 3000, reason: "unauthorized" });
    }
  });
});

test("two tokens in one place are refused: a backend might read the other", async () => {
  const { url } = await start();
  const twice = [
    { lines: [`Authorization: Bearer ${ann}`, `Authorization: Bearer ${ann}`] },
    { lines: [`Authorization: Bearer ${ann}, Bearer ${ann}`] },
    { path: `/?access_token=${ann}&access_token=${ann}` },
    { lines: [`Cookie: token=${ann}; token=${signToken({ sub: "bob" })}`] },
    { path: "/optional", lines: ["Authorization: Basic YTpi", `Authorization: Bearer ${ann}`] },
    { path: "/optional", lines: [`Cookie: token=; token=${ann}x`] },
    { path: "/optional", lines: [`Cookie: token=%ff; token=${ann}`] },
  ];
  for (const upgrade of twice) {
    expect(await refusalOf(url, upgradeRequest(upgrade))).toMatchObject({
      status: 401,
      code: "unauthorized",
    });
  }
});

test("no claim makes a header, a forged address or a tier of its own", async () => {
  const { url, backend } = await start();
  const claims = [
    "ip:10.0.0.1",
    "a\r\nX-Weir-Tier: vip",
    "\u0000",
    "x".repeat(300),
    ["ann"],
    { a: 1 },
    null,
    true,
  ];
  for (const claim of claims) {
    const token = signToken({ sub: claim, plan: claim });
    await openRaw(url, { lines: [`Authorization: Bearer ${token}`] });
    expect(backend.upgrades.at(-1)?.headers).toMatchObject({
      "x-weir-user": "ip:127.0.0.1",
      "x-weir-tier": "guest",
    });
  }
});

test("limits per user hang on the token's subject", async () => {
  const { url } = await start({}, { tiers: { vip: { maxConnectionsPerUser: 1 }, guest: { default: true } } });
  await openRaw(url, { lines: [`Authorization: Bearer ${ann}`] });
  const again = upgradeRequest({ path: `/?access_token=${ann}` });
  expect(await refusalOf(url, again)).toMatchObject({ status: 429, code: "user_full" });
  await openRaw(url, { lines: [`Authorization: Bearer ${signToken({ sub: "bob", plan: "vip" })}`] });
});

test("what a token may be is checked in one place only: the others are not asked", async () => {
  const { url } = await start({ from: ["bearer"] });
  const elsewhere = [
    { path: `/?access_token=${ann}` },
    { lines: [`Cookie: token=${ann}`] },
    { protocols: ["bearer", ann] },
  ];
  for (const upgrade of elsewhere) {
    expect(await refusalOf(url, upgradeRequest(upgrade))).toMatchObject({ message: "a token is needed" });
  }
});

test("issuer, audience and algorithms are asked for", async () => {
  const { url } = await start({ issuer: "me", audience: "chat", algorithms: ["HS512"] });
  const claims = { sub: "ann", iss: "me", aud: ["mail", "chat"] };
  const outcomes = [
    signToken(claims, { algorithm: "HS512" }),
    signToken({ ...claims, iss: "you" }, { algorithm: "HS512" }),
    signToken({ ...claims, aud: "mail" }, { algorithm: "HS512" }),
    signToken(claims),
  ].map(async (token) =>
    openRaw(url, { lines: [`Authorization: Bearer ${token}`] }).then(
      () => "in",
      (error: Error) => /"message":"([^"]*)"/.exec(error.message)?.[1],
    ),
  );
  expect(await Promise.all(outcomes)).toEqual([
    "in",
    "the token is from another issuer",
    "the token is for another audience",
    "the algorithm of the token is not allowed",
  ]);
});

test("a private key is nothing to verify with: it is refused at the start", async () => {
  const { privateKey } = edKeys();
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  const folder = await temporaryFolder();
  await writeFile(join(folder, "key.pem"), pem);
  await expect(start({ secret: undefined, publicKey: join(folder, "key.pem") })).rejects.toThrow(
    /identity\.jwt\.publicKey: .*key\.pem holds a private key/,
  );
});

test.skipIf(isMissing(chromium))(
  "a page in Chromium shows its token among the subprotocols, and gets its own or bearer",
  async () => {
    const { url, httpUrl } = await start();
    const page = await (await launchChromium()).newPage();
    await page.goto(`${httpUrl}/open`);
    const selected = (protocols: string[]) =>
      page.evaluate(
        async ([url, protocols]: [string, string[]]) => {
          const socket = new WebSocket(url, protocols);
          return new Promise<string>((resolve) => {
            socket.addEventListener("open", () => resolve(socket.protocol));
            socket.addEventListener("close", ({ code }) => resolve(`closed with ${code}`));
          });
        },
        [url, protocols] as [string, string[]],
      );
    // `ws` selects the first subprotocol that it is offered.
    expect(await selected(["bearer", ann, "chat.v2", "chat.v1"])).toBe("chat.v2");
    expect(await selected(["bearer", ann])).toBe("bearer");
    expect(await selected(["bearer", "bad"])).toBe("closed with 1006");
  },
);
