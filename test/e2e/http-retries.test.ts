// Plain HTTP where a backend cannot be connected: the request goes to another one, and never to two.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import type { HttpHead } from "../support/http-head.ts";
import { untilMetric } from "../support/metrics.ts";
import { neverAnswer, resetAt, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { untilEqual } from "../support/until.ts";

/** Nobody listens at any of these. */
const absent = Array.from({ length: 12 }, (_, i) => `ws://127.0.0.${i + 1}:1`);

/** Weighted so, a backend is the first choice while it has no more connections than the other. */
function firstChoice(url: string) {
  return { id: "first", url, weight: 100 };
}

describe("a request whose backend is not there", () => {
  test("reaches another with its method, path and body, however that is framed", async () => {
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice("ws://127.0.0.1:1"), { url: echo.url }]);
    const large = Buffer.alloc(1_000_000, "0123456789").toString();
    const requests = [
      { method: "GET", body: "", headers: {} },
      { method: "DELETE", body: "", headers: {} },
      { method: "POST", body: "", headers: { "Content-Length": "0" } },
      { method: "POST", body: "short", headers: { "Content-Length": "5" } },
      { method: "PUT", body: large, headers: { "Content-Length": String(large.length) } },
      { method: "PATCH", body: large, headers: { "Transfer-Encoding": "chunked" } },
      { method: "POST", body: "after 100", headers: { "Content-Length": "9", Expect: "100-continue" } },
    ];
    for (const [i, { method, body, headers }] of requests.entries()) {
      const answer = await ask(weir.httpUrl, { path: `/${i}?q`, method, body, headers });
      expect.soft([i, answer.status, answer.headers["x-backend-id"]]).toEqual([i, 200, "echo"]);
      expect.soft(JSON.parse(answer.body.toString())).toMatchObject({ method, url: `/${i}?q`, body });
    }
    expect(echo.requests).toHaveLength(requests.length);
    await untilMetric(weir.adminUrl, requests.length, "weir_dial_retries_total", { pool: "chat" });
    await untilMetric(weir.adminUrl, requests.length, "weir_http_requests_total", { code: "200" });
  });

  test("carries the other's own path and Host where those are asked for", async () => {
    const received = Promise.withResolvers<HttpHead>();
    const working = await startScriptedBackend(async (connection) => {
      received.resolve(await connection.readHead());
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const weir = await startInFrontOf(
      [firstChoice("ws://127.0.0.1:1/first"), { url: `${working.url}/second` }],
      { config: { routes: [{ pool: "chat", hostHeader: "backend" }] } },
    );
    await ask(weir.httpUrl, { path: "/path?q", headers: { "X-Request-Id": "the-same" } });
    const head = await received.promise;
    expect(head.target).toBe("/second/path?q");
    expect(head.header("host")).toBe(new URL(working.url).host);
    expect(head.header("x-request-id")).toBe("the-same");
  });

  test("goes on where a TLS handshake does not end within connectTimeout", async () => {
    const silent = await startScriptedBackend(neverAnswer());
    const echo = await startEchoBackend();
    const backends = [firstChoice(silent.url.replace("ws:", "wss:")), { url: echo.url }];
    // It is the other one's as well.
    const pool = { connectTimeout: "1s" };
    const weir = await startInFrontOf(backends, { pool });
    expect((await ask(weir.httpUrl, { method: "POST", body: "hello" })).status).toBe(200);
    const strict = await startInFrontOf(backends, { pool: { ...pool, retryOn: ["connect", 503] } });
    expect((await ask(strict.httpUrl)).status).toBe(504);
    expect(echo.requests).toHaveLength(1);
  });

  test("does not hear of it either when the idle socket of before is what was lost", async () => {
    const first = await startEchoBackend({ id: "first" });
    const second = await startEchoBackend({ id: "second" });
    const weir = await startInFrontOf([firstChoice(first.url), { url: second.url }]);
    expect((await ask(weir.httpUrl)).headers["x-backend-id"]).toBe("first");
    await first.stop();
    expect((await ask(weir.httpUrl)).headers["x-backend-id"]).toBe("second");
  });
});

describe("another backend", () => {
  test("is asked `retries` times, and the answer after the last is 502", async () => {
    const weir = await startInFrontOf(absent, { pool: { retries: 2 } });
    const { status, body } = await ask(weir.httpUrl, { method: "POST", body: "hello" });
    expect([status, JSON.parse(body.toString()).error]).toEqual([502, "backend_failed"]);
    await untilMetric(weir.adminUrl, 2, "weir_dial_retries_total", { pool: "chat" });
    const tried = () => {
      const failed = weir.log.entries.filter(
        ({ message }) => message === "dial failed, trying another backend",
      );
      return new Set(failed.map(({ fields }) => fields["backend"])).size;
    };
    await untilEqual("the backends that the log says were tried", 2, tried);
  });

  test("is asked until none is left, each once", async () => {
    const weir = await startInFrontOf(absent, { pool: { retries: 100 } });
    expect((await ask(weir.httpUrl)).status).toBe(502);
    await untilMetric(weir.adminUrl, absent.length - 1, "weir_dial_retries_total", { pool: "chat" });
  });

  test("is not asked with retries: 0, nor where retryOn leaves out connect", async () => {
    const echo = await startEchoBackend();
    const backends = [firstChoice("ws://127.0.0.1:1"), { url: echo.url }];
    for (const keys of [{ retries: 0 }, { retryOn: ["timeout", 503] }]) {
      const weir = await startInFrontOf(backends, { pool: { ...keys } });
      expect((await ask(weir.httpUrl)).status).toBe(502);
    }
    expect(echo.requests).toEqual([]);
  });

  // The first one has the request, and may have done what it says.
  test("is not asked once a backend was connected, whatever it then does", async () => {
    const failing = await startScriptedBackend(resetAt("head"));
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice(failing.url), { url: echo.url }]);
    for (const method of ["GET", "POST"]) {
      expect((await ask(weir.httpUrl, { method })).status).toBe(502);
    }
    expect(echo.requests).toEqual([]);
    expect(failing.connections).toHaveLength(2);
  });
});
