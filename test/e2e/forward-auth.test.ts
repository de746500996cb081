// Forward auth: what the service is asked, what its answers come to for upgrades and plain requests, and that
// nobody gets in while it cannot be asked.
import { createServer, type Socket } from "node:net";
import { once } from "node:events";
import { describe, expect, test } from "vitest";

import { AuthService } from "../../src/data-plane/credentials/auth-service.ts";
import { type AuthServer, startAuthServer } from "../support/auth-service.ts";
import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend, type EchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { DEFAULT_SECRET, signToken } from "../support/tokens.ts";
import { until, untilEqual } from "../support/until.ts";

type Section = Readonly<Record<string, unknown>>;

interface Guarded extends StartedWeir {
  readonly backend: EchoBackend;
}

const routes = [
  { match: { path: "/open" }, pool: "chat", auth: "off" },
  { match: { path: "/optional" }, pool: "chat", auth: "optional" },
  { pool: "chat" },
];

async function startAsking(url: string, forwardAuth: Section = {}, more: Section = {}): Promise<Guarded> {
  const backend = await startEchoBackend();
  const identity = {
    forwardAuth: {
      url: `${url}/ws?from=weir`,
      userHeader: "x-user-id",
      tierHeader: "x-user-tier",
      // No test gets by on it.
      timeout: "60s",
      ...forwardAuth,
    },
  };
  const tiers = { vip: {}, guest: { default: true } };
  const config = { identity, tiers, routes, ...more };
  return Object.assign(await startInFrontOf(backend.url, { config }), { backend });
}

const letIn =
  (headers: Record<string, string | string[]>): AuthServer["answer"] =>
  (response) =>
    void response.writeHead(200, headers).end("welcome");

describe("the question", () => {
  const lines = [
    "Cookie: session=1",
    "Cookie: other=2",
    "Authorization: Bearer abc",
    "X-Secret: not copied",
    "X-User-Id: forged",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-Uri: /forged",
    "X-Original-URI: /forged",
    "X-Request-Id: forged",
  ];

  test("holds the copied headers and where the request was going, and nothing of an upgrade", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url, {}, { trustedProxies: [] });
    const port = Number(new URL(weir.httpUrl).port);
    const protocols = ["chat"];
    await openRaw(weir.url, { path: "/room/1?a=%20b", host: "chat.test:8080", protocols, lines });
    const [question] = service.questions;
    const { authorization, host, ...headers } = question?.headers ?? {};
    expect(question).toMatchObject({ method: "GET", url: "/ws?from=weir", bodyBytes: 0 });
    expect({ authorization, host }).toEqual({ authorization: "Bearer abc", host: new URL(service.url).host });
    expect(headers).toEqual({
      cookie: "session=1; other=2",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "chat.test:8080",
      "x-forwarded-port": String(port),
      "x-forwarded-method": "GET",
      "x-forwarded-uri": "/room/1?a=%20b",
      "x-original-method": "GET",
      "x-original-uri": "/room/1?a=%20b",
      "x-request-id": weir.backend.upgrades[0]?.headers["x-request-id"],
    });
    const names = question?.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
    // Each of them once, but for the cookies, which came on two lines.
    expect(names?.toSorted()).toEqual([...Object.keys(question?.headers ?? {}), "cookie"].toSorted());
  });

  test("extends what a trusted peer says, and copies the identity headers of such a one only", async () => {
    const service = await startAuthServer();
    const copyHeaders = ["x-user-id", "x-secret"];
    for (const [trustedProxies, forwarded, user] of [
      [["loopback"], "203.0.113.7, 127.0.0.1", "forged"],
      [[], "127.0.0.1", undefined],
    ] as const) {
      const weir = await startAsking(service.url, { copyHeaders }, { trustedProxies });
      await openRaw(weir.url, { lines });
      expect(service.questions.at(-1)?.headers).toMatchObject({
        "x-forwarded-for": forwarded,
        "x-secret": "not copied",
      });
      expect(service.questions.at(-1)?.headers["x-user-id"]).toBe(user);
      expect(service.questions.at(-1)?.headers["cookie"]).toBeUndefined();
    }
  });

  test("about a plain request is a GET without its body, which then reaches the backend whole", async () => {
    const service = await startAuthServer(letIn({ "X-User-Id": "ann" }));
    const weir = await startAsking(service.url);
    const body = "x".repeat(300_000);
    const answer = await ask(`${weir.httpUrl}/post`, { method: "POST", body, headers: { Cookie: "a=1" } });
    expect(answer.status).toBe(200);
    expect(service.questions[0]).toMatchObject({ method: "GET", bodyBytes: 0 });
    expect(service.questions[0]?.headers).toMatchObject({
      "x-original-method": "POST",
      "x-original-uri": "/post",
    });
    expect(service.questions[0]?.headers["content-length"]).toBeUndefined();
    expect(service.questions[0]?.headers["transfer-encoding"]).toBeUndefined();
    expect(weir.backend.requests[0]).toMatchObject({ body, headers: { "x-weir-user": "ann" } });
  });

  test("does not hold the token that Weir itself looks at", async () => {
    const service = await startAuthServer();
    const backend = await startEchoBackend();
    const jwt = { secret: DEFAULT_SECRET, from: [{ query: "token" }] };
    const identity = { jwt, forwardAuth: { url: service.url } };
    const weir = await startInFrontOf(backend.url, { config: { identity } });
    const token = signToken({ sub: "ann" });
    await openRaw(weir.url, { path: `/a?token=${token}&b` });
    expect(service.questions[0]?.headers["x-original-uri"]).toBe("/a?b");
    expect(backend.upgrades[0]?.headers["x-weir-user"]).toBe("ann");
    const bad = upgradeRequest({ path: "/a?token=bad" });
    expect(await refusalOf(weir.url, bad)).toMatchObject({
      code: "unauthorized",
      message: "the token is malformed",
    });
    expect(service.questions).toHaveLength(1);
  });

  // A service that reads the first line, or both, would judge a request that is not the one that follows.
  test("may not copy headers that Weir itself sends with it, in any spelling", async () => {
    for (const name of [
      "X-Forwarded-For",
      "X-Forwarded-Proto",
      "X-Forwarded-Host",
      "X-Forwarded-Port",
      "X-Forwarded-Method",
      "X-Forwarded-Uri",
      "X-Original-Method",
      "X-Original-URI",
      "X-Request-Id",
      "X_Forwarded_Uri",
      "X.Original-URI",
    ]) {
      await expect(startAsking("http://127.0.0.1:9", { copyHeaders: ["cookie", name] })).rejects.toThrow(
        /copyHeaders\[1\]: .* is sent by Weir itself/,
      );
    }
  });

  test("may not copy headers that belong to the client's connection", async () => {
    for (const name of ["Upgrade", "Connection", "Sec-WebSocket-Key", "Content-Length", "Host", "TE"]) {
      await expect(startAsking("http://127.0.0.1:9", { copyHeaders: [name] })).rejects.toThrow(
        /copyHeaders\[0\]: .* belongs to the client's own connection/,
      );
    }
  });
});

describe("an answer of 2xx", () => {
  test("lets the client in, by the user and tier of its headers", async () => {
    const service = await startAuthServer(letIn({ "X-User-Id": "jürgen", "X-User-Tier": "vip" }));
    service.answer = (response) =>
      void response
        .writeHead(200, ["X-User-Id", Buffer.from("jürgen").toString("latin1"), "X-User-Tier", "vip"])
        .end();
    const weir = await startAsking(service.url);
    await openRaw(weir.url, { lines: ["X-Weir-User: eve", "X-User-Id: eve"] });
    const { headers } = weir.backend.upgrades[0] ?? {};
    expect(headers).toMatchObject({ "x-weir-user": "j%C3%BCrgen", "x-weir-tier": "vip" });
  });

  test("whose headers name nobody leaves the client its address", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url);
    const answers = [
      {},
      { "X-User-Id": "" },
      { "X-User-Id": "ip:10.0.0.1" },
      { "X-User-Id": ["a", "b"] },
      { "X-User-Id": "bob, admin" },
      { "X-User-Id": "x".repeat(300) },
    ];
    for (const headers of answers) {
      service.answer = letIn({ ...headers, "X-User-Tier": "platinum" });
      await openRaw(weir.url);
      expect(weir.backend.upgrades.at(-1)?.headers).toMatchObject({
        "x-weir-user": "ip:127.0.0.1",
        "x-weir-tier": "guest",
      });
    }
  });

  test("may have a body of any size, which nobody reads", async () => {
    const service = await startAuthServer(
      (response) => void response.writeHead(200).end("x".repeat(5_000_000)),
    );
    const weir = await startAsking(service.url);
    for (let i = 0; i < 3; i += 1) await openRaw(weir.url);
    expect(weir.backend.upgrades).toHaveLength(3);
  });
});

describe("interim answers", () => {
  test.each([
    ["103 Early Hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-User-Id: eve\r\n\r\n"],
    ["several of them", "HTTP/1.1 102 Processing\r\n\r\n".repeat(20)],
  ])("are not the answer: %s", async (_, interim) => {
    const service = await startAuthServer((response, _question, socket) => {
      socket.write(interim);
      response.writeHead(200, { "X-User-Id": "ann" }).end();
    });
    const weir = await startAsking(service.url);
    for (let i = 0; i < 2; i += 1) await openRaw(weir.url);
    expect(weir.backend.upgrades.map(({ headers }) => headers["x-weir-user"])).toEqual(["ann", "ann"]);
    service.answer = (response, _question, socket) => {
      socket.write(interim);
      response.writeHead(403).end();
    };
    await expect(openRaw(weir.url)).rejects.toThrow(/403/);
    expect(service.connections).toBe(1);
  });
});

describe("another answer", () => {
  test("is the client's: status, body, and the headers that are for it", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url);
    const headers = {
      "WWW-Authenticate": 'Basic realm="x"',
      Location: "https://login.example/?next=%2F",
      "Set-Cookie": ["a=1", "b=2"],
      "Content-Type": "text/plain",
      "X-Internal": "secret",
      Server: "secret",
      Connection: "keep-alive",
    };
    for (const status of [302, 401, 403, 404, 429]) {
      service.answer = (response) => void response.writeHead(status, headers).end("go away");
      const connection = await connectRaw(weir.url);
      await connection.write(upgradeRequest());
      const head = await connection.readHead();
      expect((await connection.readToEnd()).toString()).toBe("go away");
      expect(head.status).toBe(status);
      expect(head.header("www-authenticate")).toBe('Basic realm="x"');
      expect(head.header("location")).toBe("https://login.example/?next=%2F");
      expect(head.raw.match(/^set-cookie: .*$/gim)).toEqual(["set-cookie: a=1", "set-cookie: b=2"]);
      expect(head.header("connection")).toBe("close");
      expect(head.raw).not.toContain("secret");
    }
    await untilMetric(weir.adminUrl, 5, "weir_upgrades_total", { result: "unauthorized" });
    expect(weir.backend.upgrades).toEqual([]);
  });

  test("is that of a plain request as well", async () => {
    const service = await startAuthServer((response) => void response.writeHead(403).end("no"));
    const weir = await startAsking(service.url);
    const answer = await ask(weir.httpUrl, { headers: { Connection: "keep-alive" } });
    expect({ status: answer.status, body: answer.body.toString() }).toEqual({ status: 403, body: "no" });
    const head = await ask(weir.httpUrl, { method: "HEAD" });
    expect({ status: head.status, body: head.body.toString() }).toEqual({ status: 403, body: "" });
    expect(weir.backend.requests).toEqual([]);
  });

  test.each([
    [401, {}, "Bearer", "credentials are needed"],
    [401, { "WWW-Authenticate": "Custom" }, "Custom", "credentials are needed"],
    [403, { "Content-Type": "text/html" }, undefined, "these credentials are not let in"],
    [403, { "Content-Encoding": "gzip" }, undefined, "these credentials are not let in"],
  ])("of %i with %o and no body is Weir's own JSON", async (status, headers, challenge, message) => {
    const service = await startAuthServer((response) => void response.writeHead(status, headers).end());
    const weir = await startAsking(service.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    const head = await connection.readHead();
    expect([head.status, head.header("www-authenticate"), head.header("content-type")]).toEqual([
      status,
      challenge,
      "application/json",
    ]);
    expect(head.header("content-encoding")).toBe(undefined);
    const body = JSON.parse((await connection.readToEnd()).toString());
    expect(body).toEqual({ error: "unauthorized", message });
  });

  test("with a body beyond 64 KiB has none", async () => {
    const service = await startAuthServer((response) => {
      response.writeHead(403, { "Content-Type": "text/plain" }).end("x".repeat(65_537));
    });
    const weir = await startAsking(service.url);
    const { status, headers, body } = await ask(weir.httpUrl);
    expect({ status, length: body.length, type: headers["content-type"] }).toEqual({
      status: 403,
      length: 0,
      type: undefined,
    });
  });

  test.each([
    [403, 3000, "unauthorized"],
    [302, 3000, "unauthorized"],
    [500, 1013, "auth_unavailable"],
  ])("of %i is a Close with %i %s under rejectWith: close", async (status, code, reason) => {
    const service = await startAuthServer((response) => void response.writeHead(status).end());
    const weir = await startAsking(service.url, {}, { limits: { rejectWith: "close" } });
    const { connection } = await openRaw(weir.url);
    expect(await connection.nextClose()).toEqual({ code, reason });
  });

  test("that is a 5xx is passed on too, and counts as unavailable", async () => {
    const service = await startAuthServer((response) => void response.writeHead(500).end("broken"));
    const weir = await startAsking(service.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    expect((await connection.readHead()).status).toBe(500);
    expect((await connection.readToEnd()).toString()).toBe("broken");
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "auth_unavailable" });
  });
});

/** All that a client hears: what stands behind Weir, and what is wrong with it, is for the log. */
const UNAVAILABLE = "credentials cannot be checked at the moment";

/** Answers the first bytes with these and ends, or resets. */
async function startBareService(answer: string | null): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => (answer === null ? socket.resetAndDestroy() : socket.end(answer)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onCleanup("the bare service", () => void server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
}

describe("a service that cannot be asked lets nobody in", () => {
  test.each([
    ["answers no HTTP", "nonsense\r\n\r\n"],
    ["resets", null],
    ["just closes", ""],
    [
      "switches protocols",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ["goes on where nobody waits for that", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"],
    ["ends amid its body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
    ["answers a status that is none", "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n"],
    ["answers a status beyond 599", "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n"],
    ["answers a control character", "HTTP/1.1 302 No\r\nLocation: /\x01\r\nContent-Length: 0\r\n\r\n"],
    ["ends amid its head", "HTTP/1.1 200 OK\r\nX-User-Id: a"],
  ])("one that %s", async (_, answer) => {
    const weir = await startAsking(await startBareService(answer));
    const refusal = await refusalOf(weir.url, upgradeRequest());
    expect(refusal).toMatchObject({ status: 503, code: "auth_unavailable", message: UNAVAILABLE });
    expect(refusal.head.header("retry-after")).toMatch(/^\d+$/);
    const plain = await ask(weir.httpUrl);
    expect([plain.status, JSON.parse(plain.body.toString())]).toEqual([
      503,
      { error: "auth_unavailable", message: UNAVAILABLE },
    ]);
    const { fields } = await weir.log.entry(
      "the reason",
      (entry) => entry.fields["code"] === "auth_unavailable",
    );
    expect(fields["reason"]).toMatch(/^the authentication service (?:cannot be asked: .+|answered \d+)$/);
    expect(weir.backend.upgrades).toEqual([]);
  });

  test("one that is not there, until it is", async () => {
    const service = await startAuthServer();
    await service.stop();
    const weir = await startAsking(service.url);
    expect(await refusalOf(weir.url, upgradeRequest())).toMatchObject({
      status: 503,
      code: "auth_unavailable",
    });
    await service.listen(Number(new URL(service.url).port));
    await openRaw(weir.url);
    expect(weir.backend.upgrades).toHaveLength(1);
  });

  test("one that does not answer in time, nor after it", async () => {
    const service = await startAuthServer(() => {});
    const weir = await startAsking(service.url, { timeout: "1500ms" });
    const { status, code, message } = await refusalOf(weir.url, upgradeRequest());
    expect({ status, code }).toEqual({ status: 503, code: "auth_unavailable" });
    expect(message).toBe(UNAVAILABLE);
    const { fields } = await weir.log.entry("the reason", (entry) => entry.fields["code"] === code);
    expect(fields["reason"]).toBe("the authentication service cannot be asked: no answer within 1500 ms");
    await untilEqual("abandoned questions", 1, () => service.abandoned);
    // A head in time, and a body that never ends.
    service.answer = (response) => void response.writeHead(200, { "Content-Length": "5" }).write("a");
    expect(await refusalOf(weir.url, upgradeRequest())).toMatchObject({ code: "auth_unavailable" });
  });
});

test("a client that leaves has its question abandoned, and reaches no backend", async () => {
  const service = await startAuthServer(() => {});
  const weir = await startAsking(service.url, { timeout: "60s" });
  for (const [asked, bytes] of [upgradeRequest(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n"].entries()) {
    const connection = await connectRaw(weir.url);
    await connection.write(bytes);
    await untilEqual("questions", asked + 1, () => service.questions.length);
    connection.socket.destroy();
    await untilEqual("abandoned questions", asked + 1, () => service.abandoned);
  }
  await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "client_gone" });
  expect(weir.backend.upgrades.length + weir.backend.requests.length).toBe(0);
});

test("auth: optional asks about those who show something, auth: off about nobody", async () => {
  const service = await startAuthServer((response) => void response.writeHead(401).end());
  const weir = await startAsking(service.url);
  await openRaw(weir.url, { path: "/optional" });
  await openRaw(weir.url, { path: "/open", lines: ["Cookie: session=bad"] });
  expect(service.questions).toEqual([]);
  await expect(openRaw(weir.url, { path: "/optional", lines: ["Cookie: session=bad"] })).rejects.toThrow(
    /401/,
  );
  service.answer = letIn({ "X-User-Id": "ann" });
  await openRaw(weir.url, { path: "/optional", lines: ["Cookie: session=good"] });
  expect(weir.backend.upgrades.at(-1)?.headers["x-weir-user"]).toBe("ann");
});

describe("connections to the service", () => {
  test("are kept and bounded: one for what comes one by one, 64 for what comes at once", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url);
    for (let i = 0; i < 10; i += 1) await openRaw(weir.url);
    expect(service.connections).toBe(1);
    const waiting: (() => void)[] = [];
    service.answer = (response) => void waiting.push(() => response.writeHead(204).end());
    const clients = Promise.all(Array.from({ length: 100 }, () => openRaw(weir.url)));
    await untilEqual("questions at once", 64, () => waiting.length);
    service.answer = (response) => void response.writeHead(204).end();
    for (const answer of waiting) answer();
    await clients;
    expect(service.connections).toBe(64);
    expect(service.questions).toHaveLength(110);
  });

  test("are waited for by a thousand at most: past that, the service is as good as down", async () => {
    const server = await startAuthServer(() => {});
    const service = new AuthService(server.url);
    const abort = new AbortController();
    const ask = () => service.ask({ path: "/", headers: [], signal: abort.signal });
    const waiting = Array.from({ length: 1_000 }, () => ask().catch(String));
    await expect(ask()).rejects.toThrow("1000 questions wait for it already");
    await untilEqual("questions at the service", 64, () => server.questions.length);
    abort.abort("the test is over");
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(["the test is over"]));
    server.answer = (response) => void response.writeHead(204).end();
    const { status } = await service.ask({ path: "/", headers: [], signal: new AbortController().signal });
    expect(status).toBe(204);
    await service.close();
  });

  // It could name another user for the next client.
  test("on which something comes unasked are cut, and it is nobody's answer", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url);
    const connections: Socket[] = [];
    service.answer = (response, _question, socket) => {
      connections.push(socket);
      response.writeHead(204).end();
    };
    await openRaw(weir.url);
    connections[0]?.write("HTTP/1.1 200 OK\r\nX-User-Id: admin\r\nContent-Length: 0\r\n\r\n");
    await until("the connection is cut", () => connections[0]?.destroyed === true);
    await openRaw(weir.url);
    expect(weir.backend.upgrades.map(({ headers }) => headers["x-weir-user"])).toEqual([
      "ip:127.0.0.1",
      "ip:127.0.0.1",
    ]);
    expect(service.connections).toBe(2);
  });

  test("that the service closes in the moment they are used cost nothing", async () => {
    const service = await startAuthServer();
    const weir = await startAsking(service.url);
    await openRaw(weir.url);
    service.answer = (_response, _question, socket) => {
      service.answer = (response) => void response.writeHead(204).end();
      socket.resetAndDestroy();
    };
    await openRaw(weir.url);
    expect(service.connections).toBe(2);
  });
});
