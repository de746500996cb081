// A real Chromium, headless, for tests of what browsers see. `test.skipIf(isMissing(chromium))` declares one.
import process from "node:process";

import { type BrowserContext, chromium as engine } from "playwright-core";

import { onCleanup, temporaryFolder } from "./cleanup.ts";
import { findProgram, pathOf, type Requirement } from "./requirement.ts";

/** The browser that CHROMIUM names, else the one in PATH. */
export const chromium: Requirement = {
  name: "Chromium",
  path: findProgram(["chromium", "chromium-browser", "google-chrome"], process.env["CHROMIUM"]),
};

/** A fresh browser with an empty profile; closed after the test. */
export async function launchChromium(): Promise<BrowserContext> {
  const context = await engine.launchPersistentContext(await temporaryFolder(), {
    executablePath: pathOf(chromium),
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  onCleanup("Chromium", () => context.close());
  return context;
}
