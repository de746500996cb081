// The dashboard, in a real Chromium in front of a real Weir: what it shows is what the API says, what its
// buttons say happens, and it comes back by itself.
import { describe, expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import { chromium } from "../support/chromium.ts";
import { type Dashboard, openDashboard } from "../support/dashboard.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

/** Two backends, two tiers, and users by header; everything on the page comes from here. */
async function startBusy(config: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  const backends = await Promise.all(["one", "two"].map((id) => startEchoBackend({ id })));
  return startInFrontOf(
    backends.map(({ id, url }) => ({ id, url, capacity: 8 })),
    {
      pool: { onRemove: { mode: "keep" } },
      config: {
        identity: { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] },
        limits: { maxConnections: 50 },
        tiers: { vip: { maxConnections: 4, priority: "high" }, guest: { default: true } },
        ...config,
      },
    },
  );
}

async function statusOf({ adminUrl }: StartedWeir): Promise<Status> {
  return JSON.parse((await ask(`${adminUrl}/api/status`)).body.toString()) as Status;
}

/** The rows under this element, as the texts of these cells. */
async function rowsOf({ page }: Dashboard, within: string, cells: readonly string[]): Promise<string[][]> {
  const columns = await Promise.all(cells.map((cell) => page.locator(`${within} ${cell}`).allTextContents()));
  return (columns[0] ?? []).map((_, row) => columns.map((column) => column[row]?.trim() ?? ""));
}

/** A figure as the page writes it, by the page's own code. */
async function written({ page }: Dashboard, kind: "bytes", value: number): Promise<string> {
  return page.evaluate(`import("/dashboard/format.js").then((format) => format.${kind}(${value}))`);
}

/** The row of this backend. */
function backend({ page }: Dashboard, id: string) {
  return page.locator(`#pools [data-pool="chat"] [data-backend="${id}"]`);
}

async function widthOf({ page }: Dashboard): Promise<number> {
  return page.evaluate("document.documentElement.scrollWidth");
}

describe.skipIf(isMissing(chromium))("the dashboard", () => {
  test("shows what /api/status says, asks nobody but the admin server, and fails nowhere", async () => {
    const weir = await startBusy();
    const headers = { "X-User-Tier": "vip" };
    const clients = [await openClient(weir.url, { headers }), await openClient(weir.url, { headers })];
    clients.push(await openClient(weir.url));
    const dashboard = await openDashboard(weir.adminUrl);
    await dashboard.untilLive();
    await dashboard.untilText('[data-figure="connections.open"]', "3");
    const status = await statusOf(weir);
    const tiers = await rowsOf(dashboard, "#tiers", [
      ".tier-name",
      "strong",
      ".tier-head > :last-child .muted",
    ]);
    expect(tiers).toEqual([
      ["All", "3", "of 50"],
      ["vip", "2", "of 4"],
      ["guest", "1", "no cap"],
    ]);
    const cells = [".name", "small", ".pill", ".load strong", ".load .muted"];
    const backends = await rowsOf(dashboard, "#pools tbody", cells);
    const expected = status.pools[0]?.backends.map(({ id, url, state, connections, capacity }) =>
      [id, url, state, connections, `of ${capacity}`].map(String),
    );
    expect(backends).toEqual(expected);
    expect(backends.map(([, , , open]) => open)).toEqual(expect.arrayContaining(["1", "2"]));
    expect(await dashboard.text("#verdict-title")).toBe("Healthy");
    expect(await dashboard.text("#version")).toBe(status.version);
    expect(await dashboard.text('[data-fact="users"]')).toBe(String(status.users.known));
    expect(await dashboard.text('[data-fact="upgrades"]')).toBe(`${status.upgrades.accepted} (0 refused)`);
    const limit = await written(dashboard, "bytes", status.memory.limitBytes);
    expect(await dashboard.text("#chart-memory figcaption .muted")).toBe(`of ${limit}`);
    expect(await dashboard.page.locator(".chart canvas").count()).toBe(8);

    await clients[0]?.close(1000);
    await dashboard.untilText('#tiers [data-tier="vip"] strong', "1");
    expect(dashboard.problems).toEqual([]);
  });

  test("counts messages and bytes of each direction as they pass", async () => {
    const weir = await startBusy();
    const client = await openClient(weir.url);
    const dashboard = await openDashboard(weir.adminUrl);
    await dashboard.untilLive();
    const stop = new AbortController();
    const talk = (async () => {
      while (!stop.signal.aborted) await client.ask("0123456789");
    })();
    for (const figure of ["messages.from clients", "messages.to clients", "bytes.from clients"]) {
      await dashboard.untilText(`[data-figure="${figure}"]`, /^[1-9]/);
    }
    stop.abort();
    await talk;
    await dashboard.untilText('[data-figure="messages.to clients"]', "0");
    expect(dashboard.problems).toEqual([]);
  });

  test("drains a backend at a click, and activates it again", async () => {
    const weir = await startBusy();
    const dashboard = await openDashboard(weir.adminUrl);
    const stateOf = async () =>
      (await statusOf(weir)).pools[0]?.backends.find(({ id }) => id === "one")?.state;
    await backend(dashboard, "one").getByRole("button", { name: "Drain" }).click();
    await until("it is drained", async () => (await stateOf()) === "draining");
    await dashboard.untilText('[data-backend="one"] .pill', "draining");
    await dashboard.untilText("#pools-summary", "1 of 2 backends take new connections");
    await backend(dashboard, "one").getByRole("button", { name: "Activate" }).click();
    await until("it is active", async () => (await stateOf()) === "active");
    await dashboard.untilText('[data-backend="one"] .pill', "active");
    expect(dashboard.problems).toEqual([]);
  });

  test("shows the log as it grows, by level and by text, and shows no markup of others", async () => {
    const weir = await startBusy();
    const name = "<img src=x onerror=document.title='broken'>";
    const client = await openClient(weir.url, { headers: { "X-User-Id": name } });
    await client.close(1000);
    const dashboard = await openDashboard(weir.adminUrl);
    await until("the name is in the log, as text", async () => (await dashboard.text("#log")).includes(name));
    const lines = () => dashboard.page.locator("#log li");
    const levels = () => dashboard.page.locator("#log .level").allTextContents();

    await ask(`${weir.adminUrl}/api/pools/chat/backends/one`, {
      method: "PUT",
      body: '{"state":"draining"}',
    });
    await dashboard.untilText("#log", /draining/);
    await dashboard.page.getByLabel("Search").fill("DRAINING");
    await until("only those lines are left", async () => {
      const texts = await lines().allTextContents();
      return texts.length > 0 && texts.every((text) => text.toLowerCase().includes("draining"));
    });
    await dashboard.page.getByLabel("Search").fill("");
    await dashboard.page.getByLabel("Level").selectOption("warn");
    await until("info is gone", async () => !(await levels()).includes("info"));
    await dashboard.page.getByLabel("Level").selectOption("");
    await until("info is back", async () => (await levels()).includes("info"));
    expect(await dashboard.page.locator("#log img").count()).toBe(0);
    expect(dashboard.problems).toEqual([]);
  });

  test("fits a phone, with long names too", async () => {
    const weir = await startBusy({ tiers: { [`tier-${"x".repeat(59)}`]: { default: true } } });
    const dashboard = await openDashboard(weir.adminUrl, { viewport: { width: 360, height: 740 } });
    await dashboard.untilLive();
    await dashboard.untilText("#tiers .tier:last-child .tier-name", /^tier-x/);
    for (const width of [320, 360, 700, 1_000, 1_100]) {
      await dashboard.page.setViewportSize({ width, height: 740 });
      expect(await widthOf(dashboard)).toBe(width);
    }
  });

  test("says when Weir is gone, and comes back with it", async () => {
    const first = await startBusy();
    const dashboard = await openDashboard(first.adminUrl);
    await dashboard.untilLive();
    await first.weir.close();
    await dashboard.untilText("#link-text", /^Disconnected: .+\. Again in \d+ s$/);
    expect(await dashboard.page.locator("#page").getAttribute("data-state")).toBe("stale");
    const bind = new URL(first.adminUrl).host;
    await startBusy({ admin: { bind }, limits: { maxConnections: 77 } });
    await dashboard.page.getByRole("button", { name: "Retry now" }).click();
    await dashboard.untilText("#chart-connections figcaption .muted", "of 77");
    await dashboard.untilLive();
    expect(await dashboard.page.locator("#page").getAttribute("data-state")).toBe("live");
  });

  test("asks for the token, refuses a wrong one, and keeps the right one for the tab", async () => {
    const token = "a token, with ümläut";
    const weir = await startBusy({ admin: { bind: "127.0.0.1:0", token } });
    const dashboard = await openDashboard(weir.adminUrl);
    const field = dashboard.page.getByRole("textbox", { name: "Token" });
    await field.fill("guess");
    await field.press("Enter");
    await dashboard.untilText("#token-error", "That is not the token.");
    expect(await dashboard.text("#version")).toBe("");
    await field.fill(token);
    await field.press("Enter");
    await dashboard.untilLive();
    await dashboard.page.reload();
    await dashboard.untilLive();
    await backend(dashboard, "two").getByRole("button", { name: "Drain" }).click();
    await dashboard.untilText('[data-backend="two"] .pill', "draining");
  });
});
