// The verdict on the whole: seen in the status, the log, the metrics, and by who is told over a webhook.
import { afterEach, describe, expect, test, vi } from "vitest";

import { Webhook } from "../../src/control-plane/alerts/webhook.ts";
import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { recordingLog } from "../support/recording-log.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { startWebhookReceiver } from "../support/webhook-receiver.ts";
import { openClient } from "../support/ws-client.ts";

describe("the verdict on the whole", () => {
  test("is degraded near a cap: shown, logged, counted and posted with its reason", async () => {
    const receiver = await startWebhookReceiver(204);
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      // The machine may be as slow as it likes.
      config: { limits: { maxConnections: 1 }, alerts: { webhook: receiver.url, eventLoopDelay: "off" } },
    });
    const status = async () => (await fetch(`${weir.adminUrl}/api/status`)).json() as Promise<object>;
    expect(await status()).toMatchObject({ health: { verdict: "ok", reasons: [] } });
    await untilMetric(weir.adminUrl, 1, "weir_health_state", { state: "ok" });

    await openClient(weir.url);
    const { body, headers } = await receiver.post(0);
    const reason = {
      code: "near_cap",
      message: "1 of 1 connections: near limits.maxConnections",
      value: 1,
      threshold: 0.9,
    };
    expect(body).toMatchObject({
      text: expect.stringMatching(
        /^Weir on .+ is degraded: 1 of 1 connections: near limits\.maxConnections$/,
      ),
      verdict: "degraded",
      previous: "ok",
      since: expect.stringMatching(/Z$/),
      reasons: [reason],
    });
    expect(headers["content-type"]).toBe("application/json");
    expect(await status()).toMatchObject({ health: { verdict: "degraded", reasons: [reason] } });
    await untilMetric(weir.adminUrl, 1, "weir_health_state", { state: "degraded" });
    await untilMetric(weir.adminUrl, 1, "weir_webhook_posts_total", { result: "ok" });
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_health_state")).toBe(1);
    expect(metrics.sum("weir_health_changes_total", { state: "degraded" })).toBe(1);
    await weir.log.entry(
      "the change",
      ({ level, message }) => level === "warn" && message === "health is degraded",
    );
    expect(JSON.stringify(weir.log.entries)).not.toContain("secret-in-its-path");
  });

  test("is unhealthy when a pool has no backend to give", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1", {
      pool: { healthCheck: { interval: "100ms", timeout: "100ms", unhealthyAfter: 1 } },
    });
    const entry = await weir.log.entry("the change", ({ message }) => message === "health is unhealthy");
    expect(entry.fields["reasons"]).toEqual(["pool chat has no backend that could be given work"]);
  });

  test("is posted past a webhook that hangs, without anyone waiting for it", async () => {
    const receiver = await startWebhookReceiver("hang");
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: { limits: { maxConnections: 2 }, alerts: { webhook: receiver.url } },
    });
    const client = await openClient(weir.url);
    await openClient(weir.url);
    await receiver.post(0);
    expect(await client.ask("still")).toBe("still");
    await client.close(1000);
    await untilMetric(weir.adminUrl, 1, "weir_connections");
    await openClient(weir.url);
    // It hangs still, and must not keep Weir from ending.
    await weir.weir.close();
  });
});

describe("a webhook", () => {
  const quick = { retryDelaysMs: [1, 1, 1] };

  afterEach(() => void vi.restoreAllMocks());

  function webhookTo(url: string, options: object = {}): { webhook: Webhook; logged: unknown[][] } {
    const logged: unknown[][] = [];
    const log = recordingLog((...line) => void logged.push(line));
    const webhook = new Webhook(url, { ...quick, ...options, log });
    onCleanup("the webhook", () => webhook.stop());
    return { webhook, logged };
  }

  test("is tried again after errors, timeouts and resets, and what follows waits its turn", async () => {
    const receiver = await startWebhookReceiver(503, "hang", "reset", 200);
    const { webhook, logged } = webhookTo(receiver.url);
    const tries = holdTimeouts();
    webhook.post({ n: 1 });
    webhook.post({ n: 2 });
    await receiver.post(1);
    tries[1]?.end();
    await receiver.post(4);
    expect(receiver.posts.map(({ body }) => body)).toEqual([
      { n: 1 },
      { n: 1 },
      { n: 1 },
      { n: 1 },
      { n: 2 },
    ]);
    await until("both were taken", () => webhook.results.ok === 2);
    expect([webhook.results.failed, logged]).toEqual([0, []]);
    expect(new Set(tries.map(({ ms }) => ms))).toEqual(new Set([5_000]));
  });

  test("that says no is not asked again", async () => {
    const receiver = await startWebhookReceiver(404, 200);
    const { webhook, logged } = webhookTo(receiver.url);
    webhook.post({ n: 1 });
    webhook.post({ n: 2 });
    expect((await receiver.post(1)).body).toEqual({ n: 2 });
    const { host } = new URL(receiver.url);
    expect(logged).toEqual([["warn", "webhook was not delivered", { host, reason: "answered 404" }]]);
    expect(webhook.results.failed).toBe(1);
  });

  test("that cannot be reached is given up, and logged once, without its path", async () => {
    const { webhook, logged } = webhookTo("http://127.0.0.1:1/secret");
    webhook.post({ n: 1 });
    await until("it was given up", () => webhook.results.failed === 1);
    const fields = { host: "127.0.0.1:1", reason: "ECONNREFUSED" };
    expect(logged).toEqual([["warn", "webhook was not delivered", fields]]);
  });

  test("that hangs holds back no more than 32 changes, the newest", async () => {
    const receiver = await startWebhookReceiver("hang", 200);
    const { webhook } = webhookTo(receiver.url);
    const tries = holdTimeouts();
    for (let n = 0; n <= 100; n++) webhook.post({ n });
    await receiver.post(0);
    tries[0]?.end();
    await until("the last was posted", () =>
      receiver.posts.some(({ body }) => (body as { n: number }).n === 100),
    );
    // The first was under way already, and is posted again.
    const numbers = receiver.posts.map(({ body }) => (body as { n: number }).n);
    expect(numbers).toEqual([0, 0, ...Array.from({ length: 32 }, (_, i) => 69 + i)]);
    expect(webhook.results.failed).toBe(68);
  });

  test("is posted nothing once it is off", async () => {
    const receiver = await startWebhookReceiver(500, 200);
    const { webhook } = webhookTo(receiver.url, { retryDelaysMs: [50] });
    webhook.post({ n: 1 });
    webhook.post({ n: 2 });
    await receiver.post(0);
    webhook.configure(null);
    webhook.post({ n: 3 });
    webhook.configure(receiver.url);
    webhook.post({ n: 4 });
    await until("the last was taken", () => webhook.results.ok === 2);
    expect(receiver.posts.map(({ body }) => body)).toEqual([{ n: 1 }, { n: 1 }, { n: 4 }]);
  });
});

/** The tries to come: the time that each has, however slow the machine is, and what ends it. */
function holdTimeouts(): { readonly ms: number; readonly end: () => void }[] {
  const tries: { readonly ms: number; readonly end: () => void }[] = [];
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
    const time = new AbortController();
    tries.push({ ms, end: () => time.abort(new DOMException("it is over", "TimeoutError")) });
    return time.signal;
  });
  return tries;
}
