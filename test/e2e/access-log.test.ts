// What the log says of connections, requests and refusals, and what it never says.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const byHeader = {
  identity: { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] },
  tiers: { vip: { maxConnectionsPerUser: 1 }, guest: { default: true } },
};

/** Sends an upgrade with these headers and waits for its refusal. */
async function refuse(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const { pathname, search } = new URL(url);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  await refusalOf(url, upgradeRequest({ path: pathname + search, lines }));
}

describe("the access lines of a connection", () => {
  test("say who came by which way at its start, and how it went at its end", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf({ id: "first", url: backend.url }, { config: byHeader });
    const client = await openClient(`${weir.url}/room?access_token=secret`, {
      headers: {
        "X-User-Id": "ann",
        "X-User-Tier": "vip",
        "X-Request-Id": "r-1",
        "X-Forwarded-For": "192.0.2.9",
      },
    });
    const facts = {
      user: "ann",
      tier: "vip",
      address: "192.0.2.9",
      route: "*/*",
      pool: "chat",
      backend: "first",
      requestId: "r-1",
    };
    const opened = await weir.log.entry("the first", ({ message }) => message === "connection opened");
    expect(opened).toEqual({ level: "info", message: "connection opened", fields: facts });
    expect(await client.ask("hello")).toBe("hello");
    await client.close(4001);
    const closed = await weir.log.entry("the last", ({ message }) => message === "connection closed");
    expect(closed).toEqual({
      level: "info",
      message: "connection closed",
      fields: {
        ...facts,
        code: 4001,
        by: "client",
        reason: "close",
        durationMs: expect.any(Number),
        messagesToBackend: 1,
        messagesToClient: 1,
        bytesToBackend: expect.any(Number),
        bytesToClient: expect.any(Number),
        limited: 0,
      },
    });
  });

  test("are not written with log.access: off, nor are those of plain requests", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, { config: { log: { access: false } } });
    const client = await openClient(weir.url);
    await client.close(1000);
    await ask(`${weir.httpUrl}/page`);
    // What is refused is told all the same, and comes after what was not written.
    await refuse(`${weir.url}/%zz`, {});
    await weir.log.entry("the refusal", ({ message }) => message === "upgrade refused");
    const messages = weir.log.entries.map(({ message }) => message);
    expect(messages.filter((message) => /^connection|^request/.test(message))).toEqual([]);
  });
});

test("a plain request has one line, with its path but not its query", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf({ id: "first", url: backend.url }, { config: byHeader });
  await ask(`${weir.httpUrl}/page?access_token=secret`, { headers: { "X-User-Id": "ann" } });
  const { level, fields } = await weir.log.entry("it", ({ message }) => message === "request ended");
  expect([level, fields]).toEqual([
    "info",
    {
      pool: "chat",
      route: "*/*",
      user: "ann",
      tier: "guest",
      address: "127.0.0.1",
      requestId: expect.any(String),
      method: "GET",
      path: "/page",
      status: expect.any(Number),
      durationMs: expect.any(Number),
    },
  ]);
});

test("a refusal says who was refused, as far as that was known", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, {
    config: { ...byHeader, routes: [{ match: { path: "/room" }, pool: "chat" }] },
  });
  const headers = { "X-User-Id": "ann", "X-User-Tier": "vip", "X-Request-Id": "r-1" };
  await openClient(`${weir.url}/room`, { headers });
  await refuse(`${weir.url}/room`, headers);
  const full = await weir.log.entry("user_full", ({ fields }) => fields["code"] === "user_full");
  expect(full).toMatchObject({
    level: "info",
    message: "upgrade refused",
    fields: {
      user: "ann",
      tier: "vip",
      address: "127.0.0.1",
      route: "*/room",
      pool: "chat",
      requestId: "r-1",
    },
  });
  await refuse(`${weir.url}/elsewhere`, headers);
  const lost = await weir.log.entry("no_route", ({ fields }) => fields["code"] === "no_route");
  expect(lost.fields).toEqual({
    code: "no_route",
    reason: expect.any(String),
    address: "127.0.0.1",
    requestId: "r-1",
    host: "localhost",
  });
});

test("no line holds what only the client should know: queries, credentials, cookies, tokens, messages", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, {
    config: {
      ...byHeader,
      routes: [
        { match: { path: "/room" }, pool: "chat" },
        { match: { path: "/pages" }, pool: "chat", origins: ["https://example.com"] },
        { match: { path: "/down" }, pool: "down" },
      ],
      pools: { down: { backends: ["ws://127.0.0.1:1"], healthCheck: "off" } },
      limits: { maxMessageSize: "100B" },
    },
  });
  const secret = "s3cr3t-0f-th3-cl13nt";
  const headers = {
    Authorization: `Bearer ${secret}`,
    Cookie: `token=${secret}; session=${secret}`,
    "X-Api-Key": secret,
    Referer: `https://example.com/?token=${secret}`,
    "X-User-Id": `${secret}\t${secret}`,
    "X-Request-Id": `${secret} with a space`,
  };
  const query = `?access_token=${secret}&user=${secret}`;
  const client = await openClient(`${weir.url}/room${query}`, { headers });
  await client.ask(secret);
  await client.send("x".repeat(200));
  await client.closed();
  for (const path of ["/elsewhere", "/pages", "/down", "/room/../x", "/%zz"]) {
    await refuse(`${weir.url}${path}${query}`, { ...headers, Origin: "https://evil.example" });
    await ask(`${weir.httpUrl}${path}${query}`, { headers });
  }
  const raw = await connectRaw(weir.url);
  await raw.write(upgradeRequest({ path: `/room${query}`, lines: [`Sec-WebSocket-Version: ${secret}`] }));
  await raw.readToEnd();
  const garbage = await connectRaw(weir.url);
  await garbage.write(`${secret}\r\n\r\n`);
  await garbage.readToEnd();
  await ask(`${weir.httpUrl}/room${query}`);
  await weir.log.entry("the last request", ({ fields }) => fields["path"] === "/room");
  expect(weir.log.entries.length).toBeGreaterThan(12);
  expect(JSON.stringify(weir.log.entries)).not.toContain(secret);
});

test("a name in a header breaks no line, and does nothing to a terminal", async () => {
  const weir = await spawnWeir(
    JSON.stringify({
      threads: 1,
      listeners: ["127.0.0.1:0"],
      admin: { bind: "127.0.0.1:0" },
      log: { format: "pretty" },
      pools: { chat: { backends: ["ws://127.0.0.1:1"], healthCheck: "off" } },
    }),
  );
  const raw = await connectRaw(weir.httpUrl);
  await raw.write(Buffer.from(`GET / HTTP/1.1\r\nHost: a"\u009b31mb\r\nX: 1\r\n\r\n`, "latin1"));
  await raw.readToEnd();
  const upgrade = upgradeRequest({ lines: ['Host: "},{"level":"error\u009b31m'] });
  const other = await connectRaw(weir.httpUrl);
  await other.write(Buffer.from(upgrade, "latin1"));
  await other.readToEnd();
  await until("the line", () => weir.stdout.includes("upgrade refused"));
  expect(weir.stdout).not.toContain("\u009b");
  expect(weir.stdout).not.toMatch(/^.*level.*error.*ERROR/m);
});
