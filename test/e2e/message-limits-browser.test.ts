// A page in Chromium that compresses, under limits: its connection survives messages that are delayed and
// messages that are dropped, also those that the browser sends in many fragments.
import { randomBytes } from "node:crypto";
import type { JSHandle, Page } from "playwright-core";
import { describe, expect, test } from "vitest";

import { chromium, launchChromium } from "../support/chromium.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { type Limits, limitedConfig } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { isMissing } from "../support/requirement.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";

const limited = "weir_messages_limited_total";

/** One WebSocket in the page, and all that it was told. */
interface PageSocket {
  readonly socket: WebSocket;
  readonly texts: string[];
  readonly closes: number[];
}

/** Much the same text each time, which compresses well, and now and then a long one, which does not. */
function textsOf(name: string, count: number): string[] {
  const fox = "the quick brown fox jumps over the lazy dog ".repeat(20);
  const noise = randomBytes(300_000).toString("base64");
  return Array.from({ length: count }, (_, i) => `${name} ${i}: ${i % 7 === 1 ? noise : fox}${i}`);
}

describe.skipIf(isMissing(chromium))("a page in Chromium, compressing,", () => {
  test("gets all of its messages through where they are delayed", async () => {
    const { weir, page } = await startWithPage({ tier: { messages: { rate: "100/s", burst: 2 } } });
    const pageSocket = await openInPage(page, weir.url);
    expect(await pageSocket.evaluate(({ socket }) => socket.extensions)).toBe("permessage-deflate");
    const texts = textsOf("delayed", 60);
    await send(pageSocket, texts);
    await expectTexts(pageSocket, texts);
    expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay" })).toBeGreaterThan(0);
    await expectOpen(pageSocket);
  });

  test("loses what is dropped and nothing else: what comes later is whole", async () => {
    const dropping = { tier: { messages: { rate: "1/h", burst: 5 } }, limits: { onExceed: "drop" } };
    const { weir, page, reload } = await startWithPage(dropping);
    const pageSocket = await openInPage(page, weir.url);
    expect(await pageSocket.evaluate(({ socket }) => socket.extensions)).toContain(
      "client_no_context_takeover",
    );
    const texts = textsOf("limited", 30);
    await send(pageSocket, texts);
    await untilMetric(weir.adminUrl, 25, limited, { action: "drop" });
    await reload({});
    const laterTexts = textsOf("later", 30);
    await send(pageSocket, laterTexts);
    await expectTexts(pageSocket, [...texts.slice(0, 5), ...laterTexts]);
    await expectOpen(pageSocket);
  });
});

interface StartedWithPage {
  readonly weir: StartedWeir;
  /** It comes through Weir, too. */
  readonly page: Page;
  readonly reload: (options: Limits) => Promise<void>;
}

async function startWithPage(options: Limits): Promise<StartedWithPage> {
  const backend = await startEchoBackend({ ws: { perMessageDeflate: { threshold: 0 } } });
  const configOf = (limits: Limits) => limitedConfig([backend.url], limits);
  const weir = await startWeir(JSON.stringify(configOf(options)));
  const page = await (await launchChromium()).newPage();
  await page.goto(weir.httpUrl);
  return { weir, page, reload: (limits) => weir.weir.reload(configOf(limits)) };
}

async function openInPage(page: Page, url: string): Promise<JSHandle<PageSocket>> {
  return page.evaluateHandle(async (url) => {
    const socket = new WebSocket(url);
    const opened: PageSocket = { socket, texts: [], closes: [] };
    socket.addEventListener("message", ({ data }) => opened.texts.push(String(data)));
    socket.addEventListener("close", ({ code }) => opened.closes.push(code));
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", reject);
    });
    return opened;
  }, url);
}

async function send(pageSocket: JSHandle<PageSocket>, texts: readonly string[]): Promise<void> {
  await pageSocket.evaluate(({ socket }, texts) => {
    for (const text of texts) socket.send(text);
  }, texts);
}

function beginOf(text: string): string {
  return text.slice(0, 40);
}

/** The page is told just these, in this order. */
async function expectTexts(pageSocket: JSHandle<PageSocket>, expected: readonly string[]): Promise<void> {
  await until("the number of texts in the page", async () => {
    const { count, closes } = await pageSocket.evaluate(({ texts, closes }) => ({
      count: texts.length,
      closes,
    }));
    return count >= expected.length || closes.length > 0;
  });
  const texts = await pageSocket.evaluate(({ texts }) => texts);
  // First what makes a readable difference.
  expect(texts.map(beginOf)).toEqual(expected.map(beginOf));
  expect(texts.filter((text, i) => text !== expected[i]).map(beginOf)).toEqual([]);
}

async function expectOpen(pageSocket: JSHandle<PageSocket>): Promise<void> {
  const seen = await pageSocket.evaluate(({ socket, closes }) => ({ state: socket.readyState, closes }));
  expect(seen).toEqual({ state: WebSocket.OPEN, closes: [] });
}
