// Dropped messages and permessage-deflate: each message has to be compressed on its own, or the next one
// would refer to a text that the backend never saw.
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";

import { chromium, launchChromium } from "../support/chromium.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { type Limits, limitedConfig, startLimited } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

const drops = { action: "drop" };
const limited = "weir_messages_limited_total";

/** Some pass, some do not, in turn. */
const dropping = { tier: { messages: { rate: "50/s", burst: 2 } }, limits: { onExceed: "drop" } };

/** Much the same text each time: a compressor with a memory would refer to the one before. */
function textOf(i: number): string {
  return `message ${i}: ${"the quick brown fox jumps over the lazy dog ".repeat(20)}${i}`;
}

async function startCompressed(options: Limits): Promise<{ weir: StartedWeir; backend: EchoBackend }> {
  const backend = await startEchoBackend({ ws: { perMessageDeflate: { threshold: 0 } } });
  return { backend, weir: await startWeir(JSON.stringify(limitedConfig([backend.url], options))) };
}

const compression = { perMessageDeflate: { threshold: 0 } };

describe("where messages may be dropped", () => {
  test("the offer and the answer carry client_no_context_takeover, and all that passes is intact", async () => {
    const { weir, backend } = await startCompressed(dropping);
    const client = await openClient(weir.url, compression);
    expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toMatch(
      /^permessage-deflate;.*client_no_context_takeover/,
    );
    expect(client.headers["sec-websocket-extensions"]).toMatch(
      /^permessage-deflate;.*client_no_context_takeover/,
    );
    let sent = 0;
    await until("ten have passed, ten were dropped", async () => {
      for (let i = 0; i < 3; i++) await client.send(textOf(sent++));
      const droppedCount = (await scrape(weir.adminUrl)).sum(limited, drops);
      return droppedCount >= 10 && client.waitingMessages >= 10;
    });
    const texts = await textsUpToNow(client);
    const indices = texts.map((text) => Number(/\d+/.exec(text)?.[0]));
    expect(texts).toEqual(indices.map(textOf));
    expect(indices).toEqual(indices.toSorted((a, b) => a - b));
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test("other extensions are taken out of the offer, and every variant of permessage-deflate is kept", async () => {
    const { weir, backend } = await startCompressed(dropping);
    const extensions =
      "x-mux, permessage-deflate; client_max_window_bits, permessage-deflate; client_no_context_takeover, x-last";
    const { response } = await openRaw(weir.url, { extensions });
    expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toBe(
      "permessage-deflate; client_max_window_bits; client_no_context_takeover, permessage-deflate; client_no_context_takeover",
    );
    expect(response.header("sec-websocket-extensions")).toContain("client_no_context_takeover");
  });

  test("an offer without permessage-deflate reaches the backend as none", async () => {
    const { weir, backend } = await startCompressed(dropping);
    const { response } = await openRaw(weir.url, { extensions: "x-mux; level=9" });
    expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toBeUndefined();
    expect(response.header("sec-websocket-extensions")).toBeUndefined();
  });
});

test.for([
  ["where the limit delays", { tier: dropping.tier }],
  ["where nothing is limited", { limits: { onExceed: "drop" } }],
] as const)("offer and answer stay as they are %s", async ([, options]) => {
  const { weir, backend } = await startCompressed(options);
  const { response } = await openRaw(weir.url, { extensions: "x-mux, permessage-deflate" });
  expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toBe("x-mux, permessage-deflate");
  expect(response.header("sec-websocket-extensions")).toBe("permessage-deflate");
});

test("a connection that agreed to a context before a reload is delayed instead of dropped", async () => {
  const weir = await startLimited({
    tier: { messages: { rate: "1000/s", burst: 1000 } },
    extensions: "permessage-deflate",
  });
  const { client, backend } = await weir.open("ann", { extensions: "permessage-deflate" });
  await weir.reload({ tier: { messages: { rate: "500/s", burst: 1 } }, limits: { onExceed: "drop" } });
  const frames = Array.from({ length: 30 }, (_, i) =>
    client.encode({ opcode: opcodes.text, rsv: 4, payload: `${i}` }),
  );
  await client.write(Buffer.concat(frames));
  const bytes = Buffer.concat(frames);
  expect(await backend.readBytes(bytes.length)).toEqual(bytes);
  const metrics = await scrape(weir.adminUrl);
  expect(metrics.sum(limited, { action: "delay" })).toBeGreaterThan(0);
  expect(metrics.sum(limited, drops)).toBe(0);
});

test.skipIf(isMissing(chromium))(
  "a page in Chromium, compressing, loses what is dropped and nothing else",
  async () => {
    const { weir, backend } = await startCompressed(dropping);
    const page = await (await launchChromium()).newPage();
    await page.goto(weir.httpUrl);
    const { extensions, texts } = await floodFromPage(page, weir.url);
    expect(extensions).toContain("client_no_context_takeover");
    expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toContain("client_no_context_takeover");
    const indices = texts.map((text) => Number(/\d+/.exec(text)?.[0]));
    expect(texts).toEqual(indices.map(textOf));
    expect(indices).toEqual(indices.toSorted((a, b) => a - b));
    // What came last was sent after many that were dropped.
    expect(Math.max(...indices)).toBeGreaterThan(indices.length);
    await untilMetric(weir.adminUrl, 0, "weir_closes_total", { by: "weir" });
  },
);

/** Everything that came back up to now: a Ping passes whatever is dropped. */
async function textsUpToNow(client: WsClient): Promise<string[]> {
  const answered = new Promise((resolve) => client.socket.once("pong", resolve));
  client.socket.ping();
  await answered;
  const texts: string[] = [];
  while (client.waitingMessages > 0) texts.push(await client.nextText());
  return texts;
}

/** Sends more than may pass until twenty have come back; what came back. */
async function floodFromPage(page: Page, url: string): Promise<{ extensions: string; texts: string[] }> {
  return page.evaluate(async (url) => {
    const socket = new WebSocket(url);
    const texts: string[] = [];
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", reject);
    });
    const fox = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let sent = 0;
    await new Promise<void>((resolve, reject) => {
      const timer = setInterval(() => {
        for (let n = 0; n < 5; n++, sent++) socket.send(`message ${sent}: ${fox}${sent}`);
      }, 10);
      socket.addEventListener("message", ({ data }) => {
        texts.push(String(data));
        if (texts.length < 20) return;
        clearInterval(timer);
        resolve();
      });
      socket.addEventListener("close", ({ code, reason }) => reject(new Error(`${code} ${reason}`)));
    });
    return { extensions: socket.extensions, texts };
  }, url);
}
