// What comes to the admin API from those who have no business there, or from broken tools.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

interface Hostile {
  readonly method?: string;
  readonly path: string;
  readonly lines?: readonly string[];
  readonly body?: string | Buffer;
  /** Default: the server's own. */
  readonly host?: string;
}

const CHANGES = [
  { method: "POST", path: "/api/drain" },
  { method: "POST", path: "/api/reload" },
  { method: "POST", path: "/api/notice", body: '{"text":"x"}' },
  { method: "PUT", path: "/api/pools/chat/backends/a", body: '{"state":"down"}' },
  { method: "PUT", path: "/api/users/ann/ban" },
  { method: "DELETE", path: "/api/users/ann/ban" },
  { method: "DELETE", path: "/api/users/ann/connections" },
  { method: "DELETE", path: "/api/connections/1-1" },
];

async function start(): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  return startInFrontOf(
    { id: "a", url: backend.url },
    { config: { identity: { user: [{ header: "x-user" }] } } },
  );
}

/** Status and error code. */
async function send({ adminUrl }: StartedWeir, request: Hostile): Promise<[number, string]> {
  const { method = "GET", path, lines = [], body = "", host = new URL(adminUrl).host } = request;
  const connection = await connectRaw(adminUrl);
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, length, ...lines, "Connection: close", "", ""];
  await connection.write(Buffer.concat([Buffer.from(head.join("\r\n")), Buffer.from(body)]));
  const { status } = await connection.readHead();
  const text = (await connection.readToEnd()).toString();
  return [status, text === "" ? "" : (JSON.parse(text) as { error: string }).error];
}

describe("a page of another site", () => {
  // A form or a fetch without CORS sends its request all the same, wherever its answer goes.
  test("changes nothing", async () => {
    const weir = await start();
    const client = await openClient(weir.url, { headers: { "X-User": "ann" } });
    const { host, port } = new URL(weir.adminUrl);
    const origins = [
      "https://evil.example",
      "null",
      `https://${host}.evil.example`,
      `http://localhost:${port}`,
    ];
    for (const change of CHANGES) {
      for (const origin of origins) {
        const lines = [`Origin: ${origin}`, "Content-Type: text/plain"];
        expect([origin, ...(await send(weir, { ...change, lines }))]).toEqual([origin, 403, "forbidden"]);
      }
    }
    expect(await client.ask("still there")).toBe("still there");
    await openClient(weir.url, { headers: { "X-User": "ann" } });
  });

  // Browsers leave Origin out in places, and always say from what site a request comes.
  test("changes nothing without an Origin", async () => {
    const weir = await start();
    const client = await openClient(weir.url, { headers: { "X-User": "ann" } });
    for (const change of CHANGES) {
      for (const site of ["cross-site", "same-site", "none, same-origin", "anything"]) {
        const lines = [`Sec-Fetch-Site: ${site}`, "Content-Type: text/plain"];
        expect([site, ...(await send(weir, { ...change, lines }))]).toEqual([site, 403, "forbidden"]);
      }
    }
    expect(await client.ask("still there")).toBe("still there");
  });

  test("may link to the dashboard, and what is the server's own changes things", async () => {
    const weir = await start();
    const connection = await connectRaw(weir.adminUrl);
    const { host } = new URL(weir.adminUrl);
    const link = ["GET / HTTP/1.1", `Host: ${host}`, "Sec-Fetch-Site: cross-site", "", ""];
    await connection.write(link.join("\r\n"));
    expect((await connection.readHead()).status).toBe(200);
    for (const site of ["same-origin", "none"]) {
      const ban = { method: "PUT", path: "/api/users/eve/ban", lines: [`Sec-Fetch-Site: ${site}`] };
      expect([site, (await send(weir, ban))[0]]).toEqual([site, 200]);
    }
  });

  test("changes nothing under a name of its own that leads here (DNS rebinding)", async () => {
    const weir = await start();
    const client = await openClient(weir.url, { headers: { "X-User": "ann" } });
    for (const change of CHANGES) {
      const lines = ["Origin: http://evil.example"];
      expect(await send(weir, { ...change, host: "evil.example", lines })).toEqual([403, "forbidden"]);
    }
    expect(await client.ask("still there")).toBe("still there");
  });
});

describe("a hostile request", () => {
  test("is answered 4xx, whatever its path", async () => {
    const weir = await start();
    for (const [path, status] of [
      ["//evil.example/api/status", 400],
      ["http://evil.example/api/status", 400],
      ["/api/users/%ff", 400],
      ["/api/users/%", 400],
      ["/api/users/%00", 400],
      ["/api/users/..%2f..%2fetc%2fpasswd", 404],
      ["/api/users//ban", 404],
      ["/api/pools/__proto__/backends/constructor", 404],
      ["/api/connections/__proto__", 405],
      ["/api/../../etc/passwd", 404],
      [`/api/users/${"x".repeat(10_000)}`, 400],
      ["/api/connections?limit=1e9", 400],
      ["/api/logs?level=__proto__", 400],
    ] as const) {
      const [answered] = await send(weir, { path });
      expect([path, answered]).toEqual([path, status]);
    }
  });

  test("is answered 4xx, whatever its body", async () => {
    const weir = await start();
    const bodies = [
      "{",
      "nonsense",
      Buffer.from([0xff, 0xfe, 0x00]),
      "[".repeat(60_000),
      "[]",
      "1",
      '"text"',
      '{"__proto__":{"state":"down"}}',
      '{"constructor":1}',
      '{"state":"down","state2":1}',
      '{"weight":1e999}',
      '{"capacity":0}',
    ];
    for (const path of ["/api/pools/chat/backends/a", "/api/users/ann/ban"]) {
      for (const body of bodies) {
        const [status, error] = await send(weir, { method: "PUT", path, body });
        expect([path, String(body).slice(0, 40), status, error]).toEqual([
          path,
          String(body).slice(0, 40),
          400,
          "bad_request",
        ]);
      }
      const large = `{"reason":"${"x".repeat(70_000)}"}`;
      expect(await send(weir, { method: "PUT", path, body: large })).toEqual([413, "too_large"]);
    }
    expect((await send(weir, { path: "/healthz", method: "HEAD" }))[0]).toBe(200);
  });
});

test("an upgrade behind a request that is not answered yet is cut off, and opens nothing", async () => {
  const weir = await start();
  const { host } = new URL(weir.adminUrl);
  const connection = await connectRaw(weir.adminUrl);
  const first = `GET /api/status HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  await connection.write(first + upgradeRequest({ host, path: "/api/stream" }));
  expect((await connection.readToEnd()).toString()).not.toContain("HTTP/1.1 101");
});

test("an upgrade that is refused is cut off where its client does not close", async () => {
  const weir = await start();
  const { host } = new URL(weir.adminUrl);
  const connection = await connectRaw(weir.adminUrl, { allowHalfOpen: true });
  await connection.write(upgradeRequest({ host, path: "/nowhere" }));
  expect((await connection.readHead()).status).toBe(404);
  await connection.readToEnd();
  // Bytes for a socket that was destroyed are answered with RST.
  await until("the end of the socket", () => {
    connection.socket.write("x");
    return connection.socket.closed;
  });
});
