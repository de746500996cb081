// The metrics: which families there are, how they are called, and that they count what happens.
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, scrapeText, untilMetric } from "../support/metrics.ts";
import { familiesOf, promlint } from "../support/promlint.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

/** What others build dashboards and alerts on. */
const CONTRACT: Readonly<Record<string, readonly string[]>> = {
  weir_connections: ["pool", "tier"],
  weir_connections_limit: ["tier"],
  weir_upgrades_total: ["pool", "result"],
  weir_handshake_duration_seconds: ["pool"],
  weir_queue_length: ["queue"],
  weir_queue_wait_seconds: ["queue"],
  weir_messages_total: ["direction", "pool", "tier"],
  weir_bytes_total: ["direction", "pool", "tier"],
  weir_messages_limited_total: ["action", "tier"],
  weir_message_delay_seconds: [],
  weir_closes_total: ["by", "code", "pool", "reason"],
  weir_connection_duration_seconds: [],
  weir_round_trip_seconds: ["pool", "side"],
  weir_buffered_bytes: ["side"],
  weir_backend_connections: ["backend", "pool"],
  weir_backend_up: ["backend", "pool"],
  weir_backend_state: ["backend", "pool", "state"],
  weir_backend_failures_total: ["backend", "kind", "pool"],
  weir_dial_retries_total: ["pool"],
  weir_affinity_total: ["pool", "result"],
  weir_affinity_entries: [],
  weir_users: [],
  weir_bans: [],
  weir_http_requests_total: ["code", "pool"],
  weir_draining: [],
  weir_worker_restarts_total: [],
  weir_config_last_reload_successful: [],
  weir_config_last_reload_timestamp_seconds: [],
  weir_event_loop_lag_p99_seconds: ["thread"],
  weir_tls_certificate_expiry_timestamp_seconds: ["listener"],
  weir_build_info: ["version"],
};

describe("the metrics", () => {
  test("have a sample of every family from the start, with help and type, named as Prometheus would", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const families = familiesOf(await scrapeText(weir.adminUrl));
    for (const [name, labels] of Object.entries(CONTRACT)) {
      const family = families.get(name);
      const found = [...(family?.labels ?? [])].filter((label) => label !== "le").toSorted();
      expect.soft([name, found]).toEqual([name, labels]);
    }
    const own = Array.from(families.values()).filter(({ name }) => name.startsWith("weir_"));
    expect(own.filter(({ samples }) => samples === 0).map(({ name }) => name)).toEqual([]);
    expect(promlint(own)).toEqual([]);
    const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
    expect(own.filter(({ name }) => !readme.includes(`| \`${name}\` `)).map(({ name }) => name)).toEqual([]);
    const usual = [
      "process_cpu_seconds_total",
      "process_open_fds",
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_seconds",
      "nodejs_heap_size_used_bytes",
    ];
    expect(usual.filter((name) => !families.has(name))).toEqual([]);
  });

  test("have samples of a pool and a tier that a reload adds, at zero", async () => {
    const weir = await startInFrontOf({ id: "first", url: "ws://127.0.0.1:1" });
    const pools = { late: { backends: [{ id: "second", url: "ws://127.0.0.1:2" }], queue: { size: 1 } } };
    const tiers = { usual: { default: true }, vip: {} };
    const routes = [{ match: { path: "/late" }, pool: "late" }, { pool: "chat" }];
    await reloadInFrontOf(
      weir,
      { id: "first", url: "ws://127.0.0.1:1" },
      { config: { pools, tiers, routes } },
    );
    const found = await scrape(weir.adminUrl);
    const withPool = Object.entries(CONTRACT).filter(([, labels]) => labels.includes("pool"));
    for (const [name, labels] of withPool) {
      // Nobody has closed a connection, or asked for a page: there is no code yet.
      if (labels.includes("code")) continue;
      const samples = [name, `${name}_count`].flatMap((one) => found.matching(one, { pool: "late" }));
      expect.soft([name, samples.length > 0]).toEqual([name, true]);
    }
    for (const name of ["weir_connections", "weir_messages_total", "weir_bytes_total"]) {
      expect.soft(found.matching(name, { tier: "vip", pool: "late" }).map(({ value }) => value)).toContain(0);
    }
    expect(found.matching("weir_messages_limited_total", { tier: "vip" })).toHaveLength(4);
    expect(found.matching("weir_queue_wait_seconds_count", { queue: "pool:late" })).toHaveLength(1);
  });

  test("count what passes while the connection is open, and name no user, address or path", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf({ id: "first", url: backend.url });
    const client = await openClient(`${weir.url}/secret-path`, {
      headers: { "X-Forwarded-For": "192.0.2.77" },
    });
    expect(await client.ask("hello")).toBe("hello");
    const labels = { pool: "chat", tier: "default" };
    for (const direction of ["client_to_backend", "backend_to_client"]) {
      await untilMetric(weir.adminUrl, 1, "weir_messages_total", { ...labels, direction });
    }
    // Five bytes of payload, two of header, and the client's masking key of four.
    await untilMetric(weir.adminUrl, 11, "weir_bytes_total", { ...labels, direction: "client_to_backend" });
    await untilMetric(weir.adminUrl, 7, "weir_bytes_total", { ...labels, direction: "backend_to_client" });
    await untilMetric(weir.adminUrl, 1, "weir_connections", labels);
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { pool: "chat", backend: "first" });
    await client.close(1000);
    const close = { pool: "chat", code: "1000", by: "client", reason: "close" };
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", close);
    await untilMetric(weir.adminUrl, 1, "weir_connection_duration_seconds_count");
    await untilMetric(weir.adminUrl, 0, "weir_connections", labels);
    expect(await scrapeText(weir.adminUrl)).not.toMatch(/192\.0\.2\.77|secret-path/);
  });

  test("count messages and bytes by tier, and take no name of a user for one", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: {
        identity: { user: [{ header: "x-user-id" }], tier: [{ header: "x-user-tier" }] },
        tiers: { vip: {}, guest: { default: true } },
      },
    });
    const hostile = 'a",evil="1"} 9 # {\\';
    for (const [tier, messages] of [
      ["vip", 2],
      ["no-such-tier", 1],
    ] as const) {
      const client = await openClient(weir.url, { headers: { "X-User-Id": hostile, "X-User-Tier": tier } });
      for (let i = 0; i < messages; i++) await client.ask("hi");
    }
    const direction = "client_to_backend";
    await untilMetric(weir.adminUrl, 2, "weir_messages_total", { tier: "vip", direction });
    await untilMetric(weir.adminUrl, 1, "weir_messages_total", { tier: "guest", direction });
    const text = await scrapeText(weir.adminUrl);
    expect(text).not.toContain("evil");
    expect(text).not.toContain("no-such-tier");
    // Both connections are of one user.
    expect((await scrape(weir.adminUrl)).sum("weir_users")).toBe(1);
  });

  test("tell how much waits for a client that does not read, until it does", async () => {
    const backend = await startScriptedBackend(
      accept({}, async (connection) => {
        for (let i = 0; i < 64; i++)
          void connection.sendFrame({ opcode: 2, payload: Buffer.alloc(256 * 1024) });
      }),
    );
    const weir = await startInFrontOf(backend.url);
    const { connection: client } = await openRaw(weir.url);
    client.pause();
    const waiting = async () => (await scrape(weir.adminUrl)).sum("weir_buffered_bytes", { side: "client" });
    await until("bytes wait for the client", async () => (await waiting()) > 0);
    expect((await scrape(weir.adminUrl)).sum("weir_buffered_bytes", { side: "backend" })).toBe(0);
    client.resume();
    await until("no byte waits any more", async () => (await waiting()) === 0);
  });

  test.skipIf(isMissing(openssl))("tell when the certificate of a listener with TLS expires", async () => {
    const { files } = await makeCertificates();
    const bind = "127.0.0.1:0";
    const tls = { certificates: [{ cert: files.cert, key: files.key }] };
    const weir = await startInFrontOf("ws://127.0.0.1:1", { config: { listeners: [{ bind, tls }] } });
    const found = await scrape(weir.adminUrl);
    const [sample] = found.matching("weir_tls_certificate_expiry_timestamp_seconds", { listener: bind });
    expect(sample?.value).toBeGreaterThan(Date.now() / 1_000);
  });

  test("are whole for each of many who scrape at once", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const all = await Promise.all(Array.from({ length: 10 }, () => scrape(weir.adminUrl)));
    for (const one of all) expect(one.sum("weir_build_info")).toBe(1);
    for (const one of all) expect(one.matching("weir_backend_state")).toHaveLength(7);
  });

  test("outlive a scraper that leaves in the middle", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const leaving = await connectRaw(weir.adminUrl);
    await leaving.write(`GET /metrics HTTP/1.1\r\nHost: ${new URL(weir.adminUrl).host}\r\n\r\n`);
    leaving.reset();
    expect((await scrape(weir.adminUrl)).sum("weir_build_info")).toBe(1);
  });
});
