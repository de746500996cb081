// What the backend is told in header lines: of the client, of the hop to Weir, and of Weir itself. Each
// rule holds for upgrades and for plain requests alike, so both are sent.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

type Headers = Readonly<Record<string, unknown>>;

interface Sent {
  readonly host?: string;
  /** Header lines of the client. */
  readonly lines?: readonly string[];
}

interface Received {
  readonly upgrade: Headers;
  readonly request: Headers;
  readonly both: readonly [Headers, Headers];
}

/** A Weir through which an upgrade and a plain request can be sent, to see the headers that come out. */
async function startObserved(config: Readonly<Record<string, unknown>> = {}) {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config });
  const send = async ({ host = "client.example", lines = [] }: Sent): Promise<Received> => {
    await openRaw(weir.url, { host, lines });
    const plain = await connectRaw(weir.url);
    await plain.write(["GET / HTTP/1.1", `Host: ${host}`, ...lines, "", ""].join("\r\n"));
    expect((await plain.readHead()).status).toBe(200);
    const upgrade = backend.upgrades.at(-1)?.headers ?? {};
    const request = backend.requests.at(-1)?.headers ?? {};
    return { upgrade, request, both: [upgrade, request] };
  };
  return { send, backend, port: new URL(weir.httpUrl).port };
}

/** The same for one exchange only. */
async function received({ config, ...sent }: Sent & { readonly config?: Readonly<Record<string, unknown>> }) {
  const observed = await startObserved(config);
  return { ...observed, ...(await observed.send(sent)) };
}

const untrusted = { trustedProxies: [] };

describe("forwarded headers", () => {
  const forged = [
    "X-Forwarded-For: 192.0.2.1",
    "X-Forwarded-For: 192.0.2.2, 192.0.2.3",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: forged.example",
    "X-Forwarded-Port: 443",
    "X-Forwarded-User: admin",
    "Forwarded: for=192.0.2.1;host=forged.example",
  ];

  test("tell the backend of the client", async () => {
    const { both, port } = await received({ config: untrusted });
    for (const headers of both) {
      expect(headers).toMatchObject({
        host: "client.example",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "client.example",
        "x-forwarded-port": port,
        "x-weir-user": "ip:127.0.0.1",
        "x-weir-tier": "default",
      });
    }
  });

  test("of an untrusted peer are replaced", async () => {
    const { both, port } = await received({ config: untrusted, lines: forged });
    for (const headers of both) {
      expect(headers).toMatchObject({
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "client.example",
        "x-forwarded-port": port,
        "x-weir-user": "ip:127.0.0.1",
      });
      expect(headers["forwarded"]).toBeUndefined();
      expect(headers["x-forwarded-user"]).toBeUndefined();
    }
  });

  test("of a trusted peer are extended", async () => {
    const { both } = await received({ lines: forged });
    for (const headers of both) {
      expect(headers).toMatchObject({
        "x-forwarded-for": "192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "forged.example",
        "x-forwarded-port": "443",
        "x-forwarded-user": "admin",
        forwarded: "for=192.0.2.1;host=forged.example",
      });
    }
  });

  test("name the rightmost untrusted address as the user", async () => {
    const lines = ["X-Forwarded-For: 10.9.9.9, 192.0.2.2, 10.0.0.5, 127.0.0.9"];
    const { both } = await received({ config: { trustedProxies: ["loopback", "10.0.0.0/24"] }, lines });
    for (const headers of both) expect(headers["x-weir-user"]).toBe("ip:192.0.2.2");
  });

  test("may bring the client's address in another header, which only a trusted peer may set", async () => {
    const lines = ["CF-Connecting-IP: 192.0.2.2", "X-Forwarded-For: 192.0.2.9"];
    const config = { clientIpHeader: "cf-connecting-ip" };
    const trusted = await received({ config, lines });
    for (const headers of trusted.both) {
      expect(headers).toMatchObject({ "x-weir-user": "ip:192.0.2.2", "cf-connecting-ip": "192.0.2.2" });
    }
    const stranger = await received({ config: { ...config, ...untrusted }, lines });
    for (const headers of stranger.both) {
      expect(headers["x-weir-user"]).toBe("ip:127.0.0.1");
      expect(headers["cf-connecting-ip"]).toBeUndefined();
    }
  });
});

describe("X-Request-Id", () => {
  test("is made anew for an untrusted peer, different for each request", async () => {
    const { both } = await received({ config: untrusted, lines: ["X-Request-Id: forged"] });
    const ids = both.map((headers) => String(headers["x-request-id"]));
    expect(ids).not.toContain("forged");
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[\x21-\x7e]{10,}$/);
  });

  test("is kept from a trusted peer", async () => {
    const { both } = await received({ lines: ["X-Request-Id: from-the-proxy/1"] });
    for (const headers of both) expect(headers["x-request-id"]).toBe("from-the-proxy/1");
  });

  test("that is no good for a log is replaced even so", async () => {
    const { send } = await startObserved();
    for (const id of ["", "with space", "x".repeat(129), "quot\u00e9"]) {
      const { both } = await send({ lines: [`X-Request-Id: ${id}`] });
      for (const headers of both) {
        expect(headers["x-request-id"]).not.toBe(id);
        expect(headers["x-request-id"]).toMatch(/^[\x21-\x7e]{10,128}$/);
      }
    }
  });

  test("stands in the access lines", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const { connection } = await openRaw(weir.url, { lines: ["X-Request-Id: follow-me"] });
    await connection.sendClose(1000);
    for (const line of ["connection opened", "connection closed"]) {
      const { fields } = await weir.log.entry(line, ({ message }) => message === line);
      expect(fields["requestId"]).toBe("follow-me");
    }
  });
});

test("X-Weir-User and X-Weir-Tier of the client are removed, trusted or not", async () => {
  const lines = ["X-Weir-User: admin", "x-weir-user: root", "X-WEIR-TIER: vip"];
  for (const config of [{}, untrusted]) {
    const { both } = await received({ config, lines });
    for (const headers of both) {
      expect(headers).toMatchObject({ "x-weir-user": "ip:127.0.0.1", "x-weir-tier": "default" });
    }
  }
});

describe("hop-by-hop headers", () => {
  test("are removed, and those that Connection names", async () => {
    const hopByHop = [
      "Keep-Alive: timeout=5",
      "TE: trailers",
      "Trailer: X-A",
      "Proxy-Connection: keep-alive",
      "Proxy-Authorization: Basic eDp5",
      "Proxy-Authenticate: Basic",
      "X-Hop: 1",
      "X-Other-Hop: 2",
    ];
    const lines = ["Connection: X-Hop, keep-alive", "Connection: x-other-hop", ...hopByHop, "X-End: 3"];
    const { both } = await received({ lines });
    for (const headers of both) {
      const names = Object.keys(headers);
      for (const line of hopByHop) expect(names).not.toContain(line.split(":")[0]?.toLowerCase());
      expect(headers["x-end"]).toBe("3");
    }
  });

  // RFC 9110 §7.6.1 lets a client name what must not be passed on. It must not be able to take away what
  // the backend relies on: the host, the length of the body, the handshake, who the client is.
  test("cannot be made of what the backend relies on", async () => {
    const names = [
      "Host",
      "Content-Length",
      "Sec-WebSocket-Key",
      "Sec-WebSocket-Version",
      "Sec-WebSocket-Protocol",
      "Sec-WebSocket-Extensions",
      "X-Forwarded-For",
      "X-Forwarded-Host",
      "X-Weir-User",
      "X-Request-Id",
    ];
    const lines = [`Connection: ${names.join(", ")}`, "Sec-WebSocket-Protocol: chat", "Content-Length: 0"];
    const { upgrade, request } = await received({ config: untrusted, lines });
    for (const headers of [upgrade, request]) {
      expect(headers).toMatchObject({
        host: "client.example",
        "sec-websocket-protocol": "chat",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "client.example",
        "x-weir-user": "ip:127.0.0.1",
      });
      expect(headers["x-request-id"]).toBeTypeOf("string");
    }
    expect(upgrade["sec-websocket-version"]).toBe("13");
  });
});

describe("the client's own lines", () => {
  test("pass in their order and case, repeats included", async () => {
    const lines = [
      "X-One: 1",
      "x-two: 2",
      "X-ONE: 3",
      "Cookie: a=1",
      "Origin: https://a.example",
      "Accept: */*",
    ];
    const { backend } = await received({ lines });
    const raw = backend.upgrades[0]?.rawHeaders ?? [];
    const passed = lines.map((line) => line.split(": "));
    const found = raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1]]] : []));
    const wanted = new Set(passed.map(([name]) => name));
    expect(found.filter(([name]) => wanted.has(name))).toEqual(passed);
  });

  test("of a plain request pass too, repeats included", async () => {
    const { request } = await received({ lines: ["X-One: 1", "X-ONE: 3", "Cookie: a=1", "Cookie: b=2"] });
    expect(request).toMatchObject({ "x-one": "1, 3", cookie: "a=1; b=2" });
  });
});

describe("a route", () => {
  test("asks the backend for its own Host with hostHeader: backend", async () => {
    const { both, backend } = await received({
      config: { routes: [{ pool: "chat", hostHeader: "backend" }] },
    });
    for (const headers of both) {
      expect(headers).toMatchObject({
        host: `127.0.0.1:${backend.port}`,
        "x-forwarded-host": "client.example",
      });
    }
  });

  test("sets and removes headers, whoever sent them", async () => {
    const headers = {
      set: { "X-Set": "ours", Authorization: "Bearer ours", "X-Forwarded-Proto": "https" },
      remove: ["Cookie", "x-forwarded-port", "X-Nobody"],
    };
    const lines = ["x-set: theirs", "X-Set: theirs too", "authorization: theirs", "COOKIE: a=1", "X-Kept: 1"];
    const { both } = await received({ config: { routes: [{ pool: "chat", headers }] }, lines });
    for (const each of both) {
      expect(each).toMatchObject({
        "x-set": "ours",
        authorization: "Bearer ours",
        "x-forwarded-proto": "https",
        "x-kept": "1",
      });
      expect(each["cookie"]).toBeUndefined();
      expect(each["x-forwarded-port"]).toBeUndefined();
    }
  });
});

test("the Host of an absolute target counts, and is the one that is passed on", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  await openRaw(weir.url, { path: "http://target.example:81/path?q", host: "header.example" });
  expect(backend.upgrades[0]).toMatchObject({ url: "/path?q" });
  expect(backend.upgrades[0]?.headers).toMatchObject({
    host: "target.example:81",
    "x-forwarded-host": "target.example:81",
  });
});
