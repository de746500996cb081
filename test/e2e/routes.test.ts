// Which pool a request goes to: by host and path, the first match wins.
import { describe, expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend, type EchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals, refusalOf } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";

interface RoutedWeir extends StartedWeir {
  readonly backends: Readonly<Record<string, EchoBackend>>;
}

/** Weir with these routes, and an echo backend of the same id for every pool that they name. */
async function startWithRoutes(routes: readonly ({ pool: string } & Record<string, unknown>)[]) {
  const names = [...new Set(["chat", ...routes.map(({ pool }) => pool)])];
  const started = await Promise.all(names.map((id) => startEchoBackend({ id })));
  const backends = Object.fromEntries(started.map((backend) => [backend.id, backend]));
  const pools = Object.fromEntries(started.map(({ id, url }) => [id, { backends: [url] }]));
  const { chat, ...others } = pools;
  const weir = await startInFrontOf(chat?.backends ?? [], { config: { pools: others, routes } });
  return Object.assign(weir, { backends }) satisfies RoutedWeir;
}

/** The backend that an upgrade for this host and path reaches, or the CODE of its refusal. */
async function reached(weir: StartedWeir, host: string, path: string): Promise<string> {
  const connection = await connectRaw(weir.url);
  await connection.write(upgradeRequest({ host, path }));
  const head = await connection.readHead();
  if (head.status === 101) return head.header("x-backend-id") ?? "";
  return String(JSON.parse((await connection.readToEnd()).toString()).error);
}

test("the first route that matches host and path wins; none is 404 no_route", async () => {
  const weir = await startWithRoutes([
    { match: { host: "game.example", path: "/play/*" }, pool: "play" },
    { match: { host: "game.example" }, pool: "game" },
    { match: { host: "*.example" }, pool: "label" },
    { match: { host: "*.*.example" }, pool: "labels" },
    { match: { path: "/any/*/end" }, pool: "middle" },
    { match: { path: "/exact" }, pool: "exact" },
    { match: { path: "/two words/*" }, pool: "words" },
    { match: { path: "*.png" }, pool: "pictures" },
    { match: { path: "/*.json" }, pool: "suffix" },
    { match: { host: "[::1]" }, pool: "address" },
  ]);
  const bystander = await openBystander(`${weir.url}/exact`);
  const cases: readonly (readonly [host: string, path: string, pool: string])[] = [
    ["game.example", "/play/", "play"],
    ["game.example", "/play/1/2?x=1", "play"],
    ["game.example", "/play", "play"],
    ["game.example", "/play?x=1", "play"],
    ["game.example", "/player", "game"],
    ["game.example", "/PLAY/1", "game"],
    ["words.test", "/two%20words/1", "words"],
    ["words.test", "/two+words/1", "no_route"],
    ["words.test", "/a/b.png", "pictures"],
    ["GAME.Example", "/", "game"],
    ["game.example:8080", "/", "game"],
    ["chat.example", "/", "label"],
    ["chat.example:1", "/play/1", "label"],
    ["a.b.example", "/", "labels"],
    ["a.b.c.example", "/", "no_route"],
    [".example", "/", "bad_request"],
    ["example", "/", "no_route"],
    ["chat.example.evil", "/", "no_route"],
    ["elsewhere", "/any/a/b/c/end", "middle"],
    ["elsewhere", "/any//end", "middle"],
    ["elsewhere", "/any/end", "no_route"],
    ["elsewhere", "/exact", "exact"],
    ["elsewhere", "/exact/", "no_route"],
    ["elsewhere", "/exact?query", "exact"],
    ["elsewhere", "/%65x%61ct", "exact"],
    ["elsewhere", "/a/b.json", "suffix"],
    ["elsewhere", "/a/b.json/", "no_route"],
    ["[::1]:80", "/", "address"],
    ["[::1]", "/", "address"],
  ];
  for (const [host, path, pool] of cases) {
    expect.soft([host, path, await reached(weir, host, path)]).toEqual([host, path, pool]);
  }
  await weir.log.entry("no_route", ({ level, fields }) => level === "info" && fields["code"] === "no_route");
  await bystander.expectUnharmed();
});

test("a refusal by no_route is a 404 whose socket closes", async () => {
  const weir = await startWithRoutes([{ match: { path: "/chat" }, pool: "chat" }]);
  const refusal = await refusalOf(weir.url, upgradeRequest({ path: "/elsewhere" }));
  expect(refusal).toMatchObject({
    status: 404,
    code: "no_route",
    message: "no route matches this host and path",
  });
});

test("plain requests take the same routes, and a 404 leaves their socket open", async () => {
  const weir = await startWithRoutes([
    { match: { path: "/a/*" }, pool: "a" },
    { match: { host: "b.example" }, pool: "b" },
  ]);
  const connection = await connectRaw(weir.url);
  const answers: unknown[] = [];
  for (const [host, path] of [
    ["x", "/a/1"],
    ["b.example", "/"],
    ["x", "/"],
    ["x", "/a"],
  ]) {
    await connection.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const head = await connection.readHead();
    const body = await connection.readBytes(Number(head.header("content-length") ?? "1"));
    answers.push([head.status, head.header("x-backend-id"), JSON.parse(body.toString()).error]);
  }
  expect(answers).toEqual([
    [200, "a", undefined],
    [200, "b", undefined],
    [404, undefined, "no_route"],
    [200, "a", undefined],
  ]);
});

describe("a target in absolute form", () => {
  test("is routed by its own host, without the port", async () => {
    const weir = await startWithRoutes([
      { match: { host: "target.example", path: "/a" }, pool: "target" },
      { match: { host: "header.example" }, pool: "header" },
    ]);
    expect(await reached(weir, "header.example", "http://TARGET.example:99/a?q")).toBe("target");
    expect(await reached(weir, "header.example", "ws://target.example/a")).toBe("target");
    expect(await reached(weir, "target.example", "http://header.example")).toBe("header");
    expect(await reached(weir, "target.example", "https://elsewhere.example/a")).toBe("no_route");
    expect(weir.backends["header"]?.upgrades.map(({ url }) => url)).toEqual(["/"]);
    expect(weir.backends["target"]?.upgrades.map(({ url }) => url)).toEqual(["/a?q", "/a"]);
  });
});

// Path traversal: the route is chosen by one reading of the path, the backend serves another. `/public/..`
// matches `/public/*` here and is `/admin` there, and so are its escaped spellings for backends that
// decode before they resolve.
test("a path with a .. segment is answered 400 in every spelling, before any route is asked", async () => {
  const weir = await startWithRoutes([{ match: { path: "/public/*" }, pool: "chat" }]);
  const bystander = await openBystander(`${weir.url}/public/x`);
  const paths = [
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2e/admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public%2f..%2fadmin",
    "/public/..\\admin",
    "/public/..%5cadmin",
    "/public/..",
    "/..",
    "/../",
    "http://a/public/../admin",
    "/public/%zz",
    "/public/%c3%28",
    "/public/%",
  ];
  const plain = paths.map((path) => [`GET ${path}`, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`]);
  const upgrades = paths.map((path) => [`an upgrade to ${path}`, upgradeRequest({ path })]);
  await expectRefusals(weir, Object.fromEntries([...plain, ...upgrades]), {
    status: 400,
    code: "bad_request",
  });
  expect(weir.backends["chat"]?.requests).toEqual([]);
  await bystander.expectUnharmed();
});

test("dots that are no .. segment pass", async () => {
  const weir = await startWithRoutes([{ match: { path: "/public/*" }, pool: "chat" }]);
  const paths = [
    "/public/a..b",
    "/public/...",
    "/public/.well-known",
    "/public/x?a=/../b",
    "/public/%25..%25/",
  ];
  for (const path of paths) expect.soft(await reached(weir, "a", path), path).toBe("chat");
  expect(weir.backends["chat"]?.upgrades.map(({ url }) => url)).toEqual(paths);
});

describe("stripPrefix", () => {
  test("takes whole segments off the path, before the backend's own prefix is put on", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(`${backend.url}/base`, {
      config: { routes: [{ pool: "chat", stripPrefix: "/chat" }] },
    });
    const paths = ["/chat", "/chat/", "/chat/room?x=1", "/chat?x=1", "/chatter", "/other", "/chat//a"];
    for (const path of paths) expect.soft(await reached(weir, "a", path), path).toBe("echo");
    expect(backend.upgrades.map(({ url }) => url)).toEqual([
      "/base/",
      "/base/",
      "/base/room?x=1",
      "/base/?x=1",
      "/base/chatter",
      "/base/other",
      "/base//a",
    ]);
  });
});
