// A real Chromium, headless, for tests of what browsers see. `test.skipIf(isMissing(chromium))` declares one.
import process from "node:process";

import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium as engine,
  type Page,
} from "playwright-core";
import { afterAll, beforeAll } from "vitest";

import { onCleanup, temporaryFolder } from "./cleanup.ts";
import { findProgram, pathOf, type Requirement } from "./requirement.ts";

/** The browser that CHROMIUM names, else the one in PATH. */
export const chromium: Requirement = {
  name: "Chromium",
  path: findProgram(["chromium", "chromium-browser", "google-chrome"], process.env["CHROMIUM"]),
};

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A fresh browser with an empty profile; closed after the test. */
export async function launchChromium(): Promise<BrowserContext> {
  const options = { executablePath: pathOf(chromium), headless: true, args };
  const context = await engine.launchPersistentContext(await temporaryFolder(), options);
  onCleanup("Chromium", () => context.close());
  return context;
}

/**
 * One browser for all tests of the file that calls this. What is returned opens a page in a profile of its
 * own, which is closed after the test.
 */
export function shareChromium(): (options?: BrowserContextOptions) => Promise<Page> {
  let browser: Browser | null = null;
  beforeAll(async () => {
    if (chromium.path !== undefined) browser = await engine.launch({ executablePath: chromium.path, args });
  });
  afterAll(async () => browser?.close());
  return async (options = {}) => {
    if (browser === null) throw new Error(`${pathOf(chromium)} has not been started`);
    const context = await browser.newContext(options);
    onCleanup("the page", () => context.close());
    return context.newPage();
  };
}
