// `weir demo` as a newcomer runs it: its own process, its page in a real browser.
import { expect, test } from "vitest";

import { chromium, launchChromium } from "../support/chromium.ts";
import { openDashboard } from "../support/dashboard.ts";
import { isMissing } from "../support/requirement.ts";
import { spawnMain, type SpawnedWeir } from "../support/spawn-weir.ts";
import { openClient } from "../support/ws-client.ts";

test("the demo prints its addresses, spreads connections, and says goodbye with 1001 on SIGINT", async () => {
  const { demo, pageUrl, adminUrl } = await startDemo();
  const page = await fetch(pageUrl);
  expect(page.status).toBe(200);
  expect(await page.text()).toContain("<title>Weir demo</title>");
  expect((await fetch(`${adminUrl}/readyz`)).status).toBe(200);
  expect(await (await fetch(`${adminUrl}/`)).text()).toContain("<title>Weir</title>");

  const urlOf = (user: number): string => `${pageUrl.replace("http", "ws")}?user=${user}`;
  const clients = await Promise.all([1, 2, 3, 4].map((user) => openClient(urlOf(user))));
  const welcomes = await Promise.all(clients.map((client) => client.nextText()));
  expect(welcomes.map(backendOf).toSorted()).toEqual(["server1", "server1", "server2", "server2"]);
  const again = await openClient(urlOf(1));
  expect(backendOf(await again.nextText())).toBe(backendOf(welcomes[0] ?? ""));

  demo.signal("SIGINT");
  for (const client of clients) {
    expect(await client.closed()).toEqual({ code: 1001, reason: "server shutting down" });
  }
  expect(await demo.exited()).toEqual({ code: 0, signal: null });
});

test("chat reaches the clients of both backends, and a text that is no JSON is chat", async () => {
  const { pageUrl } = await startDemo();
  const url = pageUrl.replace("http", "ws");
  const [ann, bob] = await Promise.all([openClient(`${url}?user=ann`), openClient(`${url}?user=bob`)]);
  const backends = [backendOf(await ann.nextText()), backendOf(await bob.nextText())];
  expect(backends.toSorted()).toEqual(["server1", "server2"]);
  await ann.send("hello");
  const heard = { type: "chat", backend: backends[0], text: "hello" };
  expect(JSON.parse(await bob.nextText())).toEqual(heard);
  expect(JSON.parse(await ann.nextText())).toEqual(heard);
});

test.skipIf(isMissing(chromium))(
  "the demo's page shows the balancing and how a connection ended, and its dashboard what is left",
  async () => {
    const { pageUrl, adminUrl } = await startDemo();
    const context = await launchChromium();
    const page = await context.newPage();
    const foreignRequests: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(pageUrl)) foreignRequests.push(request.url());
    });
    await page.goto(pageUrl);
    await page.getByText("connected, answered by").waitFor();
    await page.getByRole("button", { name: "Open 10 more" }).click();
    await page.getByText("11 open").waitFor();
    const counts = await Promise.all(["#count-server1", "#count-server2"].map((id) => page.textContent(id)));
    expect(counts.map(Number).toSorted((a, b) => a - b)).toEqual([5, 6]);

    await page.getByLabel("message", { exact: true }).fill("<b>hello</b>");
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await page.getByText("guest: <b>hello</b>").waitFor();
    await page.getByRole("button", { name: "Send 12" }).click();
    await page.getByText("12 of 12 came back").waitFor();
    await page.getByRole("button", { name: "The backend vanishes" }).click();
    await page.getByText("connection ended: 1012 “backend lost”").waitFor();
    expect(foreignRequests).toEqual([]);

    const dashboard = await openDashboard(await context.newPage(), adminUrl);
    await dashboard.untilText('[data-figure="connections.open"]', "10");
    expect(dashboard.problems).toEqual([]);
  },
);

async function startDemo(): Promise<{ demo: SpawnedWeir; pageUrl: string; adminUrl: string }> {
  const demo = spawnMain(["demo", "--port", "0", "--admin-port", "0"]);
  const pattern = /through Weir\s+(?<page>http\S+)\s+the dashboard\s+(?<admin>http\S+)\//;
  const printed = await demo.untilPrinted(pattern);
  return { demo, pageUrl: printed.groups?.["page"] ?? "", adminUrl: printed.groups?.["admin"] ?? "" };
}

function backendOf(message: string): string {
  const parsed: unknown = JSON.parse(message);
  return typeof parsed === "object" && parsed !== null && "backend" in parsed ? String(parsed.backend) : "";
}
