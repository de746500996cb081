// The dashboard in a real Chromium. What no page may ever do is collected for the test to look at: errors on
// the console, and requests that leave the admin server.
import type { ConsoleMessage, Page } from "playwright-core";

import { type WaitOptions, until } from "./until.ts";

export class Dashboard {
  readonly page: Page;
  /** Empty in every test. */
  readonly problems: string[] = [];
  readonly #host: string;

  constructor(page: Page, adminUrl: string) {
    this.page = page;
    this.#host = new URL(adminUrl).host;
    page.on("console", (message) => this.#onConsole(message));
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("request", (request) => this.#onRequest(request.url()));
    page.on("websocket", (socket) => this.#onRequest(socket.url()));
  }

  /** Whole text of the first element that this selects. */
  async text(selector: string): Promise<string> {
    return (await this.page.locator(selector).first().textContent()) ?? "";
  }

  async untilText(selector: string, expected: string | RegExp, options: WaitOptions = {}): Promise<void> {
    let last = "";
    const isExpected = async () => {
      last = await this.text(selector);
      return typeof expected === "string" ? last === expected : expected.test(last);
    };
    await until(`${selector} says ${String(expected)}`, isExpected, options).catch((error: unknown) => {
      throw new Error(`${String(error)}; it says ${last}`, { cause: error });
    });
  }

  async untilLive(): Promise<void> {
    await this.untilText("#link-text", "Live");
  }

  #onConsole(message: ConsoleMessage): void {
    if (["error", "warning"].includes(message.type())) this.problems.push(message.text());
  }

  #onRequest(url: string): void {
    if (new URL(url).host !== this.#host) this.problems.push(`asked ${url}`);
  }
}

/** Opens it in this page and does not wait for figures. */
export async function openDashboard(page: Page, adminUrl: string): Promise<Dashboard> {
  const dashboard = new Dashboard(page, adminUrl);
  await page.goto(adminUrl);
  return dashboard;
}
