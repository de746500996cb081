// Which pages may connect: the exact answers to those that may not, and what an operator is told.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { untilEqual } from "../support/until.ts";

const origins = ["https://example.com", "https://*.example.com", "self"];

async function startWithOrigins(config: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  const routes = [
    { match: { path: "/open" }, pool: "chat" },
    { pool: "chat", origins },
  ];
  return startInFrontOf(backend.url, { config: { routes, ...config } });
}

const listing = (list: readonly string[]) => ({ config: { routes: [{ pool: "chat", origins: list }] } });

const origin = (value: string) => ({ host: "chat.test:8080", lines: [`Origin: ${value}`] });

test("an upgrade from a page that is not listed gets 403 origin_not_allowed", async () => {
  const weir = await startWithOrigins();
  for (const evil of [
    "https://evil.example",
    "null",
    "https://example.com.evil.example",
    "http://chat.test",
  ]) {
    const { status, code, message, head } = await refusalOf(weir.url, upgradeRequest(origin(evil)));
    expect({ evil, status, code, message }).toEqual({
      evil,
      status: 403,
      code: "origin_not_allowed",
      message: "pages of this origin may not connect here",
    });
    expect(head.header("connection")).toBe("close");
  }
  const twice = upgradeRequest({ lines: ["Origin: https://evil.example", "Origin: https://example.com"] });
  expect(await refusalOf(weir.url, twice)).toMatchObject({ status: 403, code: "origin_not_allowed" });
  await untilMetric(weir.adminUrl, 5, "weir_upgrades_total", { result: "origin_not_allowed" });
});

test("listed pages, the own host, and clients without an Origin get in", async () => {
  const weir = await startWithOrigins();
  for (const good of ["https://example.com", "https://app.example.com", "http://chat.test:8080"]) {
    expect((await openRaw(weir.url, origin(good))).response.status).toBe(101);
  }
  await openRaw(weir.url);
  await openRaw(`${weir.url}/open`, origin("https://evil.example"));
  await untilMetric(weir.adminUrl, 5, "weir_connections");
});

test("the own host is that of a target in absolute form, whatever Host says", async () => {
  const weir = await startWithOrigins();
  const path = "http://chat.test/";
  await openRaw(weir.url, { path, host: "evil.example", lines: ["Origin: http://chat.test"] });
  const evil = upgradeRequest({ path, host: "evil.example", lines: ["Origin: http://evil.example"] });
  expect(await refusalOf(weir.url, evil)).toMatchObject({ code: "origin_not_allowed" });
});

test("with rejectWith: close it is accepted and closed with 1008 origin_not_allowed", async () => {
  const weir = await startWithOrigins({ limits: { rejectWith: "close" } });
  const { connection } = await openRaw(weir.url, origin("https://evil.example"));
  expect(await connection.nextClose()).toEqual({ code: 1008, reason: "origin_not_allowed" });
});

test("a plain request is answered whatever its origin", async () => {
  const weir = await startWithOrigins();
  expect((await ask(weir.httpUrl, { headers: { Origin: "https://evil.example" } })).status).toBe(200);
});

test("the log says once what to add, whichever thread refuses", async () => {
  const weir = await startWithOrigins({ threads: 2 });
  for (const evil of ["null", "https://new.example", "https://other.example", "https://third.example"]) {
    await refusalOf(weir.url, upgradeRequest(origin(evil)));
    await refusalOf(weir.url, upgradeRequest(origin(evil)));
  }
  const refused = () =>
    weir.log.entries.filter(({ fields }) => fields["code"] === "origin_not_allowed").length;
  await untilEqual("refusals logged", 8, refused);
  const hints = weir.log.entries.filter(({ level }) => level === "warn");
  expect(hints).toHaveLength(1);
  const { fix } = hints[0]?.fields ?? {};
  expect(fix).toMatch(/^if that page is yours, let its route have origins: /);
  expect(fix).toContain('["https://example.com","https://*.example.com","self","https://');
});

test("a reload changes the list, and open connections stay", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, listing(["https://a.example"]));
  const { connection } = await openRaw(weir.url, origin("https://a.example"));
  await reloadInFrontOf(weir, backend.url, listing(["https://b.example"]));
  const refused = await refusalOf(weir.url, upgradeRequest(origin("https://a.example")));
  expect(refused.code).toBe("origin_not_allowed");
  await openRaw(weir.url, origin("https://b.example"));
  await connection.sendText("who");
  expect(await connection.nextText()).toBe("echo");
});
