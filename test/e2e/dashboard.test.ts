// The dashboard, in a real Chromium in front of a real Weir: what it shows is what the API says, what its
// buttons say happens, and it comes back by itself.
import { describe, expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import { chromium, shareChromium } from "../support/chromium.ts";
import { onCleanup } from "../support/cleanup.ts";
import { type Dashboard, openDashboard } from "../support/dashboard.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { ownHost } from "../support/own-host.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

const newPage = shareChromium();

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

/** Until then, or until its connection ends. */
async function keepTalking(client: WsClient, end: AbortSignal): Promise<void> {
  const { socket } = client;
  while (!end.aborted && socket.readyState === socket.OPEN) {
    await client.ask("0123456789").catch(() => {});
  }
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
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
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

  test("tells the verdict with its reasons, and which backend is to blame", async () => {
    const pool = { healthCheck: { type: "tcp", interval: "100ms" } };
    const weir = await startInFrontOf({ id: "gone", url: "ws://127.0.0.1:1" }, { pool });
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
    await dashboard.untilText("#verdict-title", "Unhealthy");
    const { health } = await statusOf(weir);
    const reasons = dashboard.page.locator("#verdict-reasons li");
    expect(await reasons.allTextContents()).toEqual(health.reasons.map(({ message }) => message));
    expect(health.reasons).not.toEqual([]);
    expect(await dashboard.text('[data-backend="gone"] .pill')).toBe("unhealthy");
    expect(await dashboard.page.title()).toBe("Unhealthy – Weir");
  });

  test("counts messages and bytes of each direction as they pass", async () => {
    const weir = await startBusy();
    const client = await openClient(weir.url);
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
    await dashboard.untilLive();
    const stop = new AbortController();
    const talk = keepTalking(client, stop.signal);
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
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
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
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
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

  test("closes, bans and unbans a user, whatever its name", async () => {
    const weir = await startBusy();
    const name = "<b onclick=alert(1)>&\"'/../%2e";
    const headers = { "X-User-Id": name };
    const [first, bystander] = [await openClient(weir.url, { headers }), await openClient(weir.url)];
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
    const stop = new AbortController();
    const talk = keepTalking(bystander, stop.signal);
    const row = dashboard.page.locator("#users tr", { hasText: name });
    const chatter = keepTalking(first, stop.signal);
    await row.getByRole("button", { name: "Close" }).click();
    expect(await first.closed()).toEqual({ code: 1008, reason: "closed by administrator" });

    const second = await openClient(weir.url, { headers });
    const moreChatter = keepTalking(second, stop.signal);
    await row.getByRole("button", { name: "Ban…" }).click();
    const dialog = dashboard.page.getByRole("dialog", { name: "Ban a user" });
    expect(await dialog.locator(".subject").textContent()).toBe(name);
    await dialog.getByLabel("Reason").fill("too loud");
    await dialog.getByRole("button", { name: "Ban", exact: true }).click();
    expect(await second.closed()).toMatchObject({ code: 1008 });
    expect((await expectRefusal(weir.url, { headers })).body).toContain("banned");

    await dashboard.page.getByRole("searchbox", { name: "User" }).fill(name);
    await dashboard.page.getByRole("button", { name: "Look up" }).click();
    await dashboard.untilText("#user-title", name);
    await dashboard.untilText("#user-facts", /Banned until.*too loud/);
    await dashboard.page.locator("#user-actions").getByRole("button", { name: "Unban" }).click();
    await until("it may come again", () => openClient(weir.url, { headers }));
    stop.abort();
    await Promise.all([talk, chatter, moreChatter]);
    expect(await bystander.ask("still here")).toBe("still here");
    expect(await dashboard.page.locator("main b").count()).toBe(0);
    expect(dashboard.problems).toEqual([]);
  });

  test("shows the busiest users with what is left in their buckets", async () => {
    const weir = await startBusy({
      tiers: { guest: { default: true, messages: { rate: "1/h", burst: 40 } } },
    });
    const client = await openClient(weir.url, { headers: { "X-User-Id": "ann" } });
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
    await dashboard.untilLive();
    for (let i = 0; i < 7; i++) await client.ask("hello");
    // Who sends nothing is not among the busiest a second later; pings cost none of what is looked at.
    const pings = setInterval(() => client.socket.ping(), 100);
    onCleanup("the pings", () => clearInterval(pings));
    await dashboard.untilText('#users [data-user="ann"] .bucket', "tier guest33 of 40");
    await dashboard.page.getByRole("button", { name: "ann", exact: true }).click();
    await dashboard.untilText("#user-title", "ann");
    await dashboard.untilText("#user-connections li", /7 messages in, 7 out/);
    await dashboard.page.locator("#user-connections").getByRole("button", { name: "Close" }).click();
    expect(await client.closed()).toMatchObject({ code: 1008 });
    expect(dashboard.problems).toEqual([]);
  });

  test("leaves the rows of users where they are while one of them is pointed at", async () => {
    const weir = await startBusy();
    const open = (user: string) => openClient(weir.url, { headers: { "X-User-Id": user } });
    const [ann, ben] = [await open("ann"), await open("ben")];
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
    const order = () => dashboard.page.locator("#users th").allTextContents();
    // In one beat, so that a slow machine changes nothing about who of them is the busier one.
    let ofBen = 0;
    const beat = setInterval(() => {
      void ann.send("hello");
      for (let i = 0; i < ofBen; i++) void ben.send("hello");
    }, 100);
    onCleanup("the beat", () => clearInterval(beat));
    await until("ann is there", async () => (await order()).join() === "ann");
    await dashboard.page.locator('#users [data-user="ann"] th').hover();
    ofBen = 10;
    await until("ben is there, and busier", async () => {
      const rates = await dashboard.page.locator("#users td:nth-child(4)").allTextContents();
      return rates.length === 2 && Number(rates[1]) > 2 * Number(rates[0]);
    });
    expect(await order()).toEqual(["ann", "ben"]);
    await dashboard.page.locator("#log-title").hover();
    await until("the busier one comes first", async () => (await order()).join() === "ben,ann");
  });

  test("fits a phone, with long names too", async () => {
    const weir = await startBusy({ tiers: { [`tier-${"x".repeat(59)}`]: { default: true } } });
    const dashboard = await openDashboard(
      await newPage({ viewport: { width: 360, height: 740 } }),
      weir.adminUrl,
    );
    await dashboard.untilLive();
    await dashboard.untilText("#tiers .tier:last-child .tier-name", /^tier-x/);
    for (const width of [320, 360, 700, 1_000, 1_100]) {
      await dashboard.page.setViewportSize({ width, height: 740 });
      // The charts follow the page a moment later.
      await untilEqual("the width of what is on the page", width, () => widthOf(dashboard));
    }
    expect(dashboard.problems).toEqual([]);
  });

  test("says when Weir is gone, and comes back with it", async () => {
    const first = await startBusy({ admin: { bind: `${ownHost}:0` } });
    const dashboard = await openDashboard(await newPage(), first.adminUrl);
    await dashboard.untilLive();
    await first.weir.close();
    await dashboard.untilText("#link-text", /^Disconnected: .+$/);
    await dashboard.untilText("#link-countdown", /^again in \d+ s$/);
    expect(await dashboard.page.locator("#page").getAttribute("data-state")).toBe("stale");
    await dashboard.page.setViewportSize({ width: 320, height: 740 });
    await untilEqual("the width of what is on the page", 320, () => widthOf(dashboard));
    // While Weir is gone, since afterwards the page may be faster than the click.
    const asked = dashboard.page.waitForEvent("requestfailed");
    await dashboard.page.getByRole("button", { name: "Retry now" }).click();
    await asked;
    const bind = new URL(first.adminUrl).host;
    await startBusy({ admin: { bind }, limits: { maxConnections: 77 } });
    // The page may be in its longest pause.
    const options = { deadlineMs: 20_000 };
    await dashboard.untilText("#chart-connections figcaption .muted", "of 77", options);
    await dashboard.untilLive();
    expect(await dashboard.page.locator("#page").getAttribute("data-state")).toBe("live");
  });

  test("asks for the token, refuses a wrong one, and keeps the right one for the tab", async () => {
    const token = "a token, with ümläut";
    const weir = await startBusy({ admin: { bind: "127.0.0.1:0", token } });
    const dashboard = await openDashboard(await newPage(), weir.adminUrl);
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
