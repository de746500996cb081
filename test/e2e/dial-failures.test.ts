// What a backend is blamed for, as its failures are counted: what it did, never what a client did or what
// we lack ourselves.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import {
  acceptWrongly,
  answer,
  answerGarbage,
  closeMidHead,
  neverAnswer,
  resetAt,
  startScriptedBackend,
  type Script,
} from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach, timeouts } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const name = "weir_backend_failures_total";
const nobody = "ws://127.0.0.1:1";

/** Failures by kind, without those that there were none of. */
async function failuresOf(adminUrl: string, pool: string): Promise<Record<string, number>> {
  const samples = (await scrape(adminUrl)).matching(name, { pool });
  const counted = samples.filter(({ value }) => value > 0);
  return Object.fromEntries(counted.map(({ labels, value }) => [labels["kind"] ?? "", value]));
}

/** The URLs of backends that play these. */
async function play(scripts: readonly Script[]): Promise<string[]> {
  return Promise.all(scripts.map(async (script) => (await startScriptedBackend(script)).url));
}

/** Sends this, and returns the status of the answer. */
async function statusOf(url: string, request: string): Promise<number> {
  const connection = await connectRaw(url);
  await connection.write(request);
  return (await connection.readHead()).status;
}

describe("a failed upgrade", () => {
  test("is blamed on its backend once, by its kind", async () => {
    const scripted: readonly (readonly [kind: string, script: Script])[] = [
      ["malformed", answerGarbage()],
      ["malformed", acceptWrongly()],
      ["malformed", closeMidHead()],
      // A client that asks for the wrong thing may be cut like this: no failed connect.
      ["malformed", resetAt("head")],
      ["status", answer({ status: 502 })],
      ["status", answer({ status: 503 })],
      ["status", answer({ status: 504 })],
    ];
    const cases = [
      ["connect", nobody],
      ["connect", `unix:/nowhere/weir-test.sock`],
      ...(await play(scripted.map(([, script]) => script))).map((url, i) => [scripted[i]?.[0], url]),
    ];
    const weir = await startInFrontOfEach(
      cases.map(([, url]) => ({ id: "b", url: url ?? "" })),
      { pool: { retries: 0 } },
    );
    for (const [i, [kind = "", url]] of cases.entries()) {
      await statusOf(weir.url, upgradeRequest({ path: `/${i}` }));
      await untilMetric(weir.adminUrl, 1, name, { pool: `case-${i}`, backend: "b", kind });
      expect.soft([url, await failuresOf(weir.adminUrl, `case-${i}`)]).toEqual([url, { [kind]: 1 }]);
    }
  });

  test("is blamed on its backend once where that is too slow, be it to connect or to answer", async () => {
    const [silent = ""] = await play([neverAnswer()]);
    const weir = await startInFrontOfEach([silent.replace("ws:", "wss:"), silent], {
      pool: { retries: 0, connectTimeout: "300ms" },
      config: timeouts({ backendHandshake: "150ms" }),
    });
    for (const i of [0, 1]) {
      expect(await statusOf(weir.url, upgradeRequest({ path: `/${i}` }))).toBe(504);
      await untilMetric(weir.adminUrl, 1, name, { pool: `case-${i}`, kind: "timeout" });
      expect(await failuresOf(weir.adminUrl, `case-${i}`)).toEqual({ timeout: 1 });
    }
  });

  test("is blamed on each backend that was tried", async () => {
    const [busy = "", garbled = ""] = await play([answer({ status: 503 }), answerGarbage()]);
    const echo = await startEchoBackend();
    const entries = Object.entries({ nobody, busy, garbled, echo: echo.url });
    const weir = await startInFrontOf(
      // Weighted so, they are tried in this order.
      entries.map(([id, url], i) => ({ id, url, weight: 1_000 / 10 ** i })),
      { pool: { retries: 3 } },
    );
    expect((await openClient(weir.url)).backendId).toBe("echo");
    await untilMetric(weir.adminUrl, 1, name, { backend: "nobody", kind: "connect" });
    await untilMetric(weir.adminUrl, 1, name, { backend: "busy", kind: "status" });
    await untilMetric(weir.adminUrl, 1, name, { backend: "garbled", kind: "malformed" });
    await untilMetric(weir.adminUrl, 0, name, { backend: "echo" });
    await untilMetric(weir.adminUrl, 3, name);
  });

  test("is blamed on nobody where the client may have brought it about", async () => {
    const statuses = [400, 401, 403, 404, 408, 426, 429, 500, 501];
    const urls = await play(statuses.map((status) => answer({ status })));
    const weir = await startInFrontOfEach(urls);
    for (const [i, status] of statuses.entries()) {
      expect.soft(await statusOf(weir.url, upgradeRequest({ path: `/${i}` }))).toBe(status);
      // The control plane hears of both in order.
      await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", {
        pool: `case-${i}`,
        result: "backend_refused",
      });
    }
    expect((await scrape(weir.adminUrl)).sum(name)).toBe(0);
  });

  test.for<[what: string, url: (silent: string) => string]>([
    ["waits for the answer", (silent) => silent],
    ["waits for the connection", (silent) => silent.replace("ws:", "wss:")],
  ])("is blamed on nobody where the client left while it %s", async ([, url]) => {
    const silent = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf(url(silent.url));
    const client = await connectRaw(weir.url);
    await client.write(upgradeRequest());
    await silent.connection(0);
    client.reset();
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "client_gone" });
    expect(await failuresOf(weir.adminUrl, "chat")).toEqual({});
  });
});

describe("a failed plain request", () => {
  test.for<[kind: string, status: number, url: (silent: string) => string, pool: object]>([
    ["connect", 502, () => nobody, {}],
    ["timeout", 504, (silent) => silent.replace("ws:", "wss:"), { connectTimeout: "200ms" }],
  ])("is blamed on its backend where that could not be connected: %s", async ([kind, status, url, pool]) => {
    const [silent = ""] = await play([neverAnswer()]);
    const weir = await startInFrontOf(url(silent), { pool: { retries: 0, ...pool } });
    expect(await statusOf(weir.url, get)).toBe(status);
    await untilMetric(weir.adminUrl, 1, name, { kind });
    expect(await failuresOf(weir.adminUrl, "chat")).toEqual({ [kind]: 1 });
  });

  test("is blamed on nobody where the backend had it: what came of it may be the client's doing", async () => {
    const answered = [500, 502, 503, 504].map((status) => [status, answer({ status })] as const);
    const failed: readonly (readonly [number, Script])[] = [
      [502, resetAt("head")],
      [502, answerGarbage()],
    ];
    const cases = [...answered, ...failed];
    const urls = await play(cases.map(([, script]) => script));
    const weir = await startInFrontOfEach(urls);
    for (const [i, [status]] of cases.entries()) {
      const head = await statusOf(weir.url, get.replace("/", `/${i}`));
      expect.soft([i, head]).toEqual([i, status]);
      await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: `case-${i}` });
    }
    expect((await scrape(weir.adminUrl)).sum(name)).toBe(0);
  });

  test("is blamed on nobody where the backend had it and says nothing", async () => {
    const [silent = ""] = await play([neverAnswer()]);
    const weir = await startInFrontOf(silent, { config: timeouts({ http: "150ms" }) });
    expect(await statusOf(weir.url, get)).toBe(504);
    await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: "chat" });
    expect(await failuresOf(weir.adminUrl, "chat")).toEqual({});
  });
});
