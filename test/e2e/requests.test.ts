// `requests` of a route: plain HTTP requests of one user, exact over all threads.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { DEFAULT_SECRET, signToken } from "../support/tokens.ts";

const identity = { user: [{ header: "x-user-id" }, "ip"] };

/** So slow that nothing is refilled while a test runs. */
const slow = { rate: "1/h", burst: 5 };

const routes = [
  { match: { path: "/a" }, pool: "chat", requests: slow },
  { match: { path: "/b" }, pool: "chat", requests: slow },
  { pool: "chat" },
];

const limiting = (requests: unknown) => ({ config: { identity, routes: [{ pool: "chat", requests }] } });

async function start(more: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  return startInFrontOf(backend.url, { config: { identity, routes, threads: 2, ...more } });
}

/** The statuses of so many requests of a user, all at once on sockets of their own. */
async function statuses({ httpUrl }: StartedWeir, path: string, user: string, requests: number) {
  const headers = { "X-User-Id": user };
  const answers = Array.from({ length: requests }, () => ask(httpUrl + path, { headers }));
  const counts = new Map<number, number>();
  for (const { status } of await Promise.all(answers)) counts.set(status, (counts.get(status) ?? 0) + 1);
  return Object.fromEntries(counts);
}

describe("plain requests of one user", () => {
  test("above the burst get 429 request_limited, whichever thread they come to", async () => {
    const weir = await start();
    expect(await statuses(weir, "/a", "ann", 40)).toEqual({ 200: 5, 429: 35 });
    const { status, headers, body } = await ask(`${weir.httpUrl}/a`, { headers: { "X-User-Id": "ann" } });
    expect({ status, body: JSON.parse(body.toString()) }).toEqual({
      status: 429,
      body: { error: "request_limited", message: "this user sends too many requests to this route" },
    });
    expect(headers["retry-after"]).toMatch(/^[123]$/);
    await untilMetric(weir.adminUrl, 36, "weir_http_requests_total", { code: "429" });
  });

  test("are counted for each user and each route", async () => {
    const weir = await start();
    expect(await statuses(weir, "/a", "ann", 6)).toEqual({ 200: 5, 429: 1 });
    expect(await statuses(weir, "/a", "bob", 5)).toEqual({ 200: 5 });
    expect(await statuses(weir, "/b", "ann", 5)).toEqual({ 200: 5 });
    expect(await statuses(weir, "/c", "ann", 20)).toEqual({ 200: 20 });
  });

  test("do not count where they are refused before, nor do upgrades", async () => {
    const jwt = { secret: DEFAULT_SECRET };
    const weir = await start({ identity: { user: [{ jwt: "sub" }], jwt } });
    const url = `${weir.httpUrl}/a`;
    for (let i = 0; i < 10; i += 1) expect((await ask(url)).status).toBe(401);
    const authorization = `Bearer ${signToken({ sub: "ann" })}`;
    for (let i = 0; i < 10; i += 1) {
      await openRaw(`${weir.url}/a`, { lines: [`Authorization: ${authorization}`] });
    }
    const answers: number[] = [];
    for (let i = 0; i < 6; i += 1) answers.push((await ask(url, { headers: { authorization } })).status);
    expect(answers).toEqual([200, 200, 200, 200, 200, 429]);
  });

  test("are held to the new limit after a reload, and what was spent stays spent", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, limiting(slow));
    expect(await statuses(weir, "/", "ann", 6)).toEqual({ 200: 5, 429: 1 });
    await reloadInFrontOf(weir, backend.url, limiting({ rate: "1/h", burst: 7 }));
    expect(await statuses(weir, "/", "ann", 6)).toEqual({ 200: 2, 429: 4 });
    await reloadInFrontOf(weir, backend.url, limiting("off"));
    expect(await statuses(weir, "/", "ann", 6)).toEqual({ 200: 6 });
  });
});
