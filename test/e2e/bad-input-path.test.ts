// Paths that one server reads otherwise than the next: a route that guards `/admin/*` must not be passed by with
// what a backend takes for `/admin`, and nothing in a path may become a line of a head.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { DEFAULT_SECRET } from "../support/tokens.ts";

const guarded = {
  identity: { jwt: { secret: DEFAULT_SECRET } },
  routes: [
    { match: { path: "/admin/*" }, pool: "chat" },
    { pool: "chat", auth: "off" },
  ],
};

const paths = [
  "/admin#",
  "/admin#/x",
  "/#/../admin/",
  "/x?#",
  "/x/../admin/x",
  "/x/%2e%2e/admin/x",
  "/x\\..\\admin",
  "/admin\\x",
  "/\\admin/x",
  "/x/..",
  "/adm\u00edn",
  "/admin%5cx",
  "/x/%2e%2e%5cadmin",
  "/admin%255cx",
  "/x/..;/admin/x",
  "/x/%2e%2e;a=b/admin/x",
  "/.;/admin/x",
  "/x/%252e%252e/admin/x",
  "/x%252f..%252fadmin",
  "/x/%c0%ae%c0%ae/admin",
  "/admin%00",
  "/x%00/../admin",
];

test("a path with a .. segment, a backslash, a fragment or a NUL in any spelling is answered 400, and reaches no backend", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: guarded });
  const bystander = await openBystander(weir.url);
  const plain = paths.map((path) => [`GET ${path}`, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`]);
  const absolute = paths.map((path) => [
    `GET http://a${path}`,
    `GET http://a${path} HTTP/1.1\r\nHost: a\r\n\r\n`,
  ]);
  const upgrades = paths.map((path) => [`an upgrade of ${path}`, upgradeRequest({ path })]);
  const attacks = Object.fromEntries([...plain, ...absolute, ...upgrades]);
  await expectRefusals(weir, attacks, { status: 400, code: "bad_request" });
  expect(backend.requests).toEqual([]);
  expect(backend.upgrades).toHaveLength(1);
  await bystander.expectUnharmed();
});

test("every spelling of a guarded path that is decoded alike is guarded", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: guarded });
  for (const path of [
    "/admin",
    "/admin/",
    "/admin/x",
    "/%61dmin/x",
    "/admin%2fx",
    "/admin?x",
    "/admin/%2e%2ex",
  ]) {
    await expect(openRaw(weir.url, { path })).rejects.toThrow(/unauthorized/);
  }
  expect(backend.upgrades).toEqual([]);
});

test("an encoded line break in a path or query stays encoded", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const path = "/a%0d%0aX-Weir-Tier:%20vip%0d%0a%0d%0aGET%20/hidden?b=%0d%0aX-Evil:%201%00";
  await openRaw(weir.url, { path });
  const connection = await connectRaw(weir.url);
  await connection.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  expect((await connection.readHead()).status).toBe(200);
  for (const seen of [backend.upgrades[0], backend.requests[0]]) {
    expect(seen?.url).toBe(path);
    expect(seen?.headers).toMatchObject({ "x-weir-tier": "default" });
    expect(seen?.headers["x-evil"]).toBeUndefined();
  }
  expect([backend.upgrades.length, backend.requests.length]).toEqual([1, 1]);
});
