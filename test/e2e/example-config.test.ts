// The four scenarios of config.example.yaml as they are in the file: each route holds the rate that its
// comment speaks of. Times are only bounded from below, so that a slow machine fails nothing.
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { scrape } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { untilEqual } from "../support/until.ts";

/** A timer may be this early, and a wait that was too long is made up for by as much. */
const TOLERANCE_MS = 150;

const limited = "weir_messages_limited_total";

test.for([
  ["chat", { ratePerSecond: 5, burst: 10, messages: 13 }],
  ["files", { ratePerSecond: 100, burst: 200, messages: 260 }],
  ["notifications", { ratePerSecond: 1, burst: 5, messages: 6 }],
] as const)(
  "/%s/* lets its burst through at once and the rest at its rate, and loses none",
  async ([path, limit]) => {
    const weir = await startExample();
    const client = await openOn(weir, path);
    const startedMs = performance.now();
    const texts = Array.from({ length: limit.messages }, (_, i) => `${path} ${i}`);
    await sendAtOnce(client, texts);
    for (const text of texts) expect(await client.nextText()).toBe(text);
    const delayed = limit.messages - limit.burst;
    expect(performance.now() - startedMs).toBeGreaterThan(
      (delayed / limit.ratePerSecond) * 1_000 - TOLERANCE_MS,
    );
    expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay", tier: "vip" })).toBeGreaterThan(0);
  },
);

test("/game/* lets its burst and its rate through, drops the rest, and says so", async () => {
  const weir = await startExample();
  const client = await openOn(weir, "game");
  const startedMs = performance.now();
  await sendAtOnce(
    client,
    Array.from({ length: 200 }, (_, i) => `position ${i}`),
  );
  const passed = { direction: "client_to_backend" };
  await untilPassedOrDropped(weir, 200);
  const elapsedMs = performance.now() - startedMs;
  const count = (await scrape(weir.adminUrl)).sum("weir_messages_total", passed);
  expect(count).toBeGreaterThanOrEqual(40);
  expect(count).toBeLessThanOrEqual(40 + Math.ceil((elapsedMs / 1_000) * 20));
  const notice = '{"type":"rate_limited","retryAfterMs":';
  let [positions, notices] = [0, 0];
  while (positions < count || notices === 0) {
    const text = await client.nextText();
    if (text.startsWith(notice)) notices += 1;
    else positions += 1;
  }
  expect(positions).toBe(count);
});

test("a guest is held to the rate of its tier where the route's is higher", async () => {
  const weir = await startExample();
  const client = await openOn(weir, "files", "guest");
  const startedMs = performance.now();
  await sendAtOnce(
    client,
    Array.from({ length: 30 }, (_, i) => `chunk ${i}`),
  );
  for (let i = 0; i < 30; i++) expect(await client.nextText()).toBe(`chunk ${i}`);
  expect(performance.now() - startedMs).toBeGreaterThan(1_000 - TOLERANCE_MS);
  expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay", tier: "guest" })).toBeGreaterThan(0);
});

async function untilPassedOrDropped(weir: StartedWeir, messages: number): Promise<void> {
  await untilEqual("messages that passed or were dropped", messages, async () => {
    const metrics = await scrape(weir.adminUrl);
    const passed = metrics.sum("weir_messages_total", { direction: "client_to_backend" });
    return passed + metrics.sum(limited, { action: "drop" });
  });
}

/** The file, but for addresses and threads. */
async function startExample(): Promise<StartedWeir> {
  const backends = await Promise.all(["server1", "server2"].map((id) => startEchoBackend({ id })));
  let yaml = await readFile(new URL("../../config.example.yaml", import.meta.url), "utf8");
  const changes: [from: string, to: string][] = [
    ['bind: ":8080"', 'bind: "127.0.0.1:0"'],
    ['admin: { bind: "127.0.0.1:9347" }', 'admin: { bind: "127.0.0.1:0" }'],
    ["ws://localhost:3001", backends[0]?.url ?? ""],
    ["ws://localhost:3002", backends[1]?.url ?? ""],
  ];
  for (const [from, to] of changes) {
    expect(yaml.split(from).length).toBeGreaterThan(1);
    yaml = yaml.replaceAll(from, to);
  }
  return startWeir(`${yaml}\nthreads: 1\n`);
}

async function openOn({ url }: StartedWeir, path: string, tier = "vip"): Promise<RawConnection> {
  const lines = ["X-User-Id: ann", `X-User-Tier: ${tier}`];
  return (await openRaw(`${url}/${path}/one`, { lines })).connection;
}

/** In one write, so that they come to Weir together, however slow the machine is. */
async function sendAtOnce(client: RawConnection, texts: readonly string[]): Promise<void> {
  const frames = texts.map((payload) => client.encode({ opcode: opcodes.text, payload }));
  await client.write(Buffer.concat(frames));
}
