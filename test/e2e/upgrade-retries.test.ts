// A dial that fails before the client has heard anything goes to another backend.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import type { HttpHead } from "../support/http-head.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import {
  acceptUpgrade,
  acceptWrongly,
  answer,
  answerGarbage,
  neverAnswer,
  resetAt,
  startScriptedBackend,
  type Script,
} from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach, timeouts } from "../support/start-in-front.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

const retryMessage = "dial failed, trying another backend";

/** Weighted so, a backend is the first choice while it has no more connections than the other. */
function firstChoice(url: string) {
  return { id: "first", url, weight: 100 };
}

const failures: readonly (readonly [what: string, script: Script, code: string])[] = [
  ["resets", resetAt("head"), "backend_failed"],
  ["answers garbage", answerGarbage(), "backend_failed"],
  ["answers with a wrong Accept", acceptWrongly(), "backend_failed"],
  ["never answers", neverAnswer(), "backend_timeout"],
  ["answers 503", answer({ status: 503, body: "busy" }), "backend_refused"],
];

test("a backend that fails before the 101 is left for another", async () => {
  const failing = await Promise.all(failures.map(([, script]) => startScriptedBackend(script)));
  const echo = await startEchoBackend();
  const weir = await startInFrontOfEach(
    failing.map(({ url }) => [firstChoice(url), { id: "echo", url: echo.url }]),
    // Long enough for the other backend, however busy the machine is.
    { config: timeouts({ backendHandshake: "1s" }) },
  );
  for (const [i, [what, , code]] of failures.entries()) {
    const pool = `case-${i}`;
    const client = await openClient(`${weir.url}/${i}`);
    expect.soft(await client.ask("who"), what).toBe("echo");
    await failing[i]?.connections[0]?.untilClosed();
    const entry = weir.log.entry(
      what,
      ({ message, fields }) => message === retryMessage && fields["pool"] === pool,
    );
    expect.soft(await entry).toMatchObject({ level: "warn", fields: { backend: "first", code } });
    await untilMetric(weir.adminUrl, 1, "weir_dial_retries_total", { pool });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool, backend: "first" });
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { pool, backend: "echo" });
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { pool, result: "ok" });
  }
});

test("a backend that is not there is left for another", async () => {
  const echo = await startEchoBackend();
  const weir = await startInFrontOf([firstChoice("ws://127.0.0.1:1"), { url: echo.url }]);
  for (let i = 0; i < 5; i++) expect((await openClient(weir.url)).backendId).toBe("echo");
  expect(echo.openConnections).toBe(5);
});

describe("a retry", () => {
  test("is made `retries` times, on backends that were not tried yet", async () => {
    const failing = await Promise.all([0, 1, 2, 3, 4].map(() => startScriptedBackend(resetAt("head"))));
    const weir = await startInFrontOf(
      failing.map(({ url }) => url),
      { pool: { retries: 2 } },
    );
    const refusal = await expectRefusal(weir.url);
    expect(refusal.status).toBe(502);
    const dials = failing.map(({ connections }) => connections.length);
    expect(dials.toSorted((a, b) => a - b)).toEqual([0, 0, 1, 1, 1]);
    await untilMetric(weir.adminUrl, 2, "weir_dial_retries_total", { pool: "chat" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool: "chat" });
  });

  test("ends where no other backend is left, with what the last one came to", async () => {
    const resetting = await startScriptedBackend(resetAt("head"));
    const silent = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf([firstChoice(resetting.url), { url: silent.url }], {
      pool: { retries: 100 },
      config: timeouts({ backendHandshake: "100ms" }),
    });
    const refusal = await expectRefusal(weir.url);
    expect(refusal.status).toBe(504);
    expect(JSON.parse(refusal.body)).toMatchObject({ error: "backend_timeout" });
  });

  test("is not made with retries: 0", async () => {
    const failing = await startScriptedBackend(resetAt("head"));
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice(failing.url), { url: echo.url }], {
      pool: { retries: 0 },
    });
    expect((await expectRefusal(weir.url)).status).toBe(502);
    expect(echo.upgrades).toEqual([]);
  });

  test.for([
    ["connect", resetAt("head"), 502],
    ["timeout", neverAnswer(), 504],
    [503, answer({ status: 503 }), 503],
  ] as const)("is not made where retryOn leaves out %s", async ([cause, script, status]) => {
    const failing = await startScriptedBackend(script);
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice(failing.url), { url: echo.url }], {
      pool: { retryOn: ["connect", "timeout", 503].filter((each) => each !== cause) },
      config: timeouts({ backendHandshake: cause === "timeout" ? "100ms" : "60s" }),
    });
    expect((await expectRefusal(weir.url)).status).toBe(status);
    expect(echo.upgrades).toEqual([]);
  });

  test("is made for any status that retryOn names", async () => {
    const failing = await startScriptedBackend(answer({ status: 429, body: "slow down" }));
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice(failing.url), { url: echo.url }], {
      pool: { retryOn: [429] },
    });
    expect((await openClient(weir.url)).backendId).toBe("echo");
  });

  test("is not made for another status: the answer is the backend's to give", async () => {
    const failing = await startScriptedBackend(answer({ status: 401, body: "who are you?" }));
    const echo = await startEchoBackend();
    const weir = await startInFrontOf([firstChoice(failing.url), { url: echo.url }]);
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 401, body: "who are you?" });
    expect(echo.upgrades).toEqual([]);
  });

  test("does not repeat a first answer when all answer 503: the last one passes through whole", async () => {
    const body = "busy ".repeat(50_000);
    const script = answer({ status: 503, body, framing: "chunked", lines: ["Retry-After: 7"] });
    const busy = await Promise.all([0, 1, 2].map(() => startScriptedBackend(script)));
    const weir = await startInFrontOf(busy.map(({ url }) => url));
    const refusal = await expectRefusal(weir.url);
    expect(refusal).toMatchObject({ status: 503, body });
    expect(refusal.headers["retry-after"]).toBe("7");
    expect(busy.map(({ connections }) => connections.length)).toEqual([1, 1, 1]);
    for (const { connections } of busy) await connections[0]?.untilClosed();
  });

  test("sends the other backend the same request, with its own Host where the route asks for that", async () => {
    const failing = await startScriptedBackend(resetAt("connect"));
    const received = Promise.withResolvers<HttpHead>();
    const working = await startScriptedBackend(async (connection) => {
      received.resolve(await acceptUpgrade(connection));
    });
    const weir = await startInFrontOf([firstChoice(failing.url), { url: working.url }], {
      config: { routes: [{ pool: "chat", hostHeader: "backend", headers: { set: { "X-Set": "1" } } }] },
    });
    const key = "dGhlIHNhbXBsZSBub25jZQ==";
    await openRaw(weir.url, { key, path: "/path?q", lines: ["X-Request-Id: the-same"] });
    const head = await received.promise;
    expect(head.target).toBe("/path?q");
    expect(head.header("host")).toBe(new URL(working.url).host);
    expect(head.header("sec-websocket-key")).toBe(key);
    expect(head.header("x-request-id")).toBe("the-same");
    expect(head.header("x-set")).toBe("1");
  });
});
