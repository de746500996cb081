// Takes the README's pictures of the dashboard and of `weir top`: `npm run screenshots`. It starts Weir with
// five backends and about a hundred clients, waits for three minutes, and photographs what there is to see.

import { spawn } from "node:child_process";
import { on } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { WebSocket } from "ws";
import { type News, frameOf } from "../../src/commands/frame.ts";
import { textOf } from "../../src/commands/lines.ts";
import { findProgram, pathOf } from "../../test/support/requirement.ts";
import { terminalPage } from "./terminal.ts";
import { type ChattyBackend, startChattyBackend, Traffic } from "./traffic.ts";

const WARM_UP_MS = Number(process.env["WARM_UP_SECONDS"] ?? 180) * 1_000;
/** The page is drawn anew with the next figures. */
const REDRAW_MS = 2_500;
const RAMP_MS = Math.min(45_000, WARM_UP_MS / 2);

const folder = fileURLToPath(new URL(".", import.meta.url));
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

function configOf(backends: readonly ChattyBackend[]): string {
  const named = (names: readonly string[], from: number, capacity: number) =>
    names.map((id, i) => ({ id, url: backends[from + i]?.url, capacity }));
  return JSON.stringify({
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    log: { level: "info" },
    identity: { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] },
    limits: { maxConnections: 400 },
    tiers: {
      vip: { maxConnections: 20, priority: "high", messages: { rate: "40/s", burst: 80 } },
      normal: {
        maxConnections: 200,
        messages: { rate: "8/s", burst: 16 },
        bytes: { rate: "64KiB/s", burst: "256KiB" },
      },
      guest: { maxConnections: 80, priority: "low", messages: { rate: "2/s", burst: 5 }, default: true },
    },
    routes: [
      { match: { path: "/game/*" }, pool: "game", messages: { rate: "18/s", burst: 30, onExceed: "drop" } },
      { match: { path: "/chat/*" }, pool: "chat", messages: { rate: "6/s", burst: 10 } },
    ],
    pools: {
      chat: { backends: named(["chat-1", "chat-2", "chat-3"], 0, 60) },
      game: {
        balance: "round-robin",
        onRemove: { mode: "keep" },
        backends: named(["game-1", "game-2"], 3, 40),
      },
    },
    timeouts: { ping: { interval: "3s", timeout: "30s" } },
  });
}

/** Weir as a process of its own, as people run it. */
async function startWeir(config: string) {
  const child = spawn(process.execPath, [main, "run", "-c", config], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const printed = await new Promise<RegExpExecArray>((resolve, reject) => {
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      const found = /listening on http(?<listener>\S+)[\s\S]*admin on (?<admin>http\S+)/.exec(text);
      if (found !== null) resolve(found);
    });
    child.once("exit", () => reject(new Error(`Weir ended: ${text}`)));
  });
  return { child, url: `ws${printed.groups?.["listener"]}`, adminUrl: printed.groups?.["admin"] ?? "" };
}

/** The page down to the end of the table of users; below that is the log. */
async function photographDashboard(page: Page): Promise<void> {
  const whole = async (name: string) => {
    const card = await page.locator("#users-card").boundingBox();
    const height = (card?.y ?? 0) + (card?.height ?? 0) + 14;
    const clip = { x: 0, y: 0, width: 1_440, height };
    await page.screenshot({ path: join(folder, name), fullPage: true, clip });
  };
  await whole("dashboard-light.png");
  await page.emulateMedia({ colorScheme: "dark" });
  await delay(REDRAW_MS);
  await whole("dashboard-dark.png");
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  await delay(REDRAW_MS);
  await page.screenshot({ path: join(folder, "dashboard-phone.png") });
}

/** What `weir top` draws, in a window of this size. */
async function photographTop(page: Page, adminUrl: string): Promise<void> {
  const [width, height] = [92, 40];
  const news = await newsOf(adminUrl);
  const lines = frameOf(news, { address: "http://127.0.0.1:9347", width, height, note: null });
  await page.setContent(terminalPage(lines.map((line) => textOf(line, width, true))));
  await page.locator("pre").screenshot({ path: join(folder, "weir-top.png") });
}

/** The third, since users are measured only while somebody looks. */
async function newsOf(adminUrl: string): Promise<News> {
  const socket = new WebSocket(`${adminUrl.replace("http", "ws")}/api/stream`);
  let left = 3;
  for await (const [data] of on(socket, "message")) {
    const message = JSON.parse(String(data)) as { readonly type: string } & News;
    if (message.type === "status") left -= 1;
    if (left > 0) continue;
    socket.close();
    return message;
  }
  throw new Error("the stream ended");
}

async function takeAll(context: BrowserContext, folderOfConfig: string): Promise<void> {
  const backends = await Promise.all(Array.from({ length: 5 }, () => startChattyBackend()));
  const config = join(folderOfConfig, "weir.json");
  await writeFile(config, configOf(backends));
  const { child, url, adminUrl } = await startWeir(config);
  const traffic = new Traffic(url);
  try {
    const page = await context.newPage();
    await page.goto(adminUrl);
    traffic.start(RAMP_MS);
    await delay(WARM_UP_MS * 0.6);
    const drain = { method: "PUT", body: JSON.stringify({ state: "draining" }) };
    await fetch(`${adminUrl}/api/pools/game/backends/game-2`, drain);
    await delay(WARM_UP_MS * 0.4);
    await photographDashboard(page);
    await photographTop(await context.newPage(), adminUrl);
  } finally {
    traffic.stop();
    child.kill("SIGKILL");
    for (const backend of backends) backend.close();
  }
}

const temporary = await mkdtemp(join(tmpdir(), "weir-screenshots-"));
const context = await chromium.launchPersistentContext(join(temporary, "profile"), {
  executablePath: pathOf({ name: "Chromium", path: findProgram(["chromium"], process.env["CHROMIUM"]) }),
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  viewport: { width: 1_440, height: 900 },
  colorScheme: "light",
});
try {
  await takeAll(context, temporary);
} finally {
  await context.close();
  await rm(temporary, { recursive: true, force: true });
}
