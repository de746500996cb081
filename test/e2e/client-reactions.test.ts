// What real clients do at each of Weir's closes and refusals: a page, `ws`, Socket.IO and graphql-ws meet
// all of them, and the README's table says what was seen. It is written by a run with WRITE_README=1.
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";

import { CLOSE_REASONS } from "../../src/data-plane/close-reasons.ts";
import { ERRORS } from "../../src/errors.ts";
import { chromium, launchChromium } from "../support/chromium.ts";
import { onCleanup } from "../support/cleanup.ts";
import {
  graphqlClient,
  pageClient,
  type ReactingClient,
  type Reaction,
  socketIoClient,
  type Trial,
  wsClient,
} from "../support/client-reactions.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { startGraphqlServer } from "../support/graphql-ws.ts";
import { ask } from "../support/http-client.ts";
import { isMissing } from "../support/requirement.ts";
import { startSocketIoServer } from "../support/socketio.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { within } from "../support/until.ts";

const readme = new URL("../../README.md", import.meta.url);
const MARKERS = { begin: "<!-- reactions:begin -->", end: "<!-- reactions:end -->" };

/** What a client gets, with everything of the two tables that it gets it for. */
interface Case {
  readonly given: number | "cut";
  readonly reasons: readonly string[];
}

/** Dozens of clients at once, one of them a browser. */
const patience = { deadlineMs: 25_000 };

const closes = grouped(Object.values(CLOSE_REASONS).map(({ client, text }) => [client, text]));
const refusals = grouped(Object.entries(ERRORS).map(([code, { closeCode }]) => [closeCode, code]));
const protocols = ["echo", "socketio", "graphql"] as const;

test.skipIf(isMissing(chromium))(
  "README.md says what real clients do at each close and refusal",
  async () => {
    const configOf = await startBackends();
    const weir = await startWeir(JSON.stringify(configOf("http")));
    const page = await (await launchChromium()).newPage();
    await page.goto(`${weir.httpUrl}/page`);
    const clients = [pageClient(page), wsClient, socketIoClient, graphqlClient];
    const meet = (pathOf: (protocol: string) => string, options = {}): Trial[] =>
      clients.map((client) => client.start(weir.url + pathOf(client.protocol), options));

    const closed = closes.map(({ given }) => meet((protocol) => `/${protocol}/closed-${given}`));
    await within("all are connected", Promise.all(closed.flat().map(({ opened }) => opened())), patience);
    await Promise.all(protocols.map((protocol) => closeAll(weir, protocol)));
    const byStatus = [meet(() => "/nowhere"), meet((protocol) => `/${protocol}/broken`)];
    const [afterCloses, afterStatus] = [await reactionsOf(closed), await reactionsOf(byStatus)];
    expect(afterStatus[0]).toEqual(afterStatus[1]);

    await weir.weir.reload(configOf("close"));
    const refused = refusals.map(({ given }) =>
      meet((protocol) => refusingPath(given, protocol), { handshakeTimeoutMs: 300 }),
    );
    const afterRefusals = await reactionsOf(refused);
    expectTable([
      headOf(clients),
      ...closes.map((one, i) => rowOf(closeText(one), afterCloses[i] ?? [])),
      rowOf("refused with an HTTP status, whichever", afterStatus[0] ?? []),
      ...refusals.map((one, i) => rowOf(`refused with ${closeText(one)}`, afterRefusals[i] ?? [])),
    ]);
  },
);

/** In the README between its markers; written there where that is asked for. */
function expectTable(lines: readonly string[]): void {
  // The formatter would pad the columns to the width of their longest cell.
  const text = [
    "",
    "<!-- prettier-ignore-start -->",
    "",
    ...lines,
    "",
    "<!-- prettier-ignore-end -->",
    "",
  ].join("\n");
  const old = readFileSync(readme, "utf8");
  const fresh = `${old.split(MARKERS.begin)[0]}${MARKERS.begin}${text}${MARKERS.end}${old.split(MARKERS.end)[1]}`;
  if (process.env["WRITE_README"] !== undefined) writeFileSync(readme, fresh);
  expect(readFileSync(readme, "utf8")).toBe(fresh);
}

function headOf(clients: readonly ReactingClient[]): string {
  const names = clients.map(({ name }) => name);
  return `| what Weir does | a client sees | ${names.join(" | ")} |\n| --- | --- |${" --- |".repeat(names.length)}`;
}

function closeText({ given, reasons }: Case): string {
  if (given === "cut") return "its socket cut";
  return `${given} ${reasons.map((reason) => `\`${reason}\``).join(", ")}`;
}

/** What the page sees, and of the others what they see otherwise. */
function rowOf(what: string, reactions: readonly Reaction[]): string {
  const [page] = reactions;
  const texts = { no: "stays away", yes: "connects again", late: "connects again after its `timeout`" };
  const cells = reactions.map(({ code, isClean, comesBack }) => {
    const isTold = code !== null && (code !== page?.code || isClean !== page.isClean);
    return texts[comesBack] + (isTold ? ` (sees ${seenText(code, isClean)})` : "");
  });
  return `| ${[what, seenText(page?.code, page?.isClean), ...cells].join(" | ")} |`;
}

function seenText(code: number | null | undefined, isClean: boolean | null | undefined): string {
  return `${code}, ${isClean === true ? "clean" : "not clean"}`;
}

/** Starts what is behind Weir; returns the configuration for it. */
async function startBackends(): Promise<(rejectWith: "http" | "close") => unknown> {
  const [echo, socketio, graphql, closing] = await Promise.all([
    startEchoBackend(),
    startSocketIoServer("chat", "/socketio"),
    startGraphqlServer(),
    startClosingBackend(),
  ]);
  const urls = {
    echo: echo.url,
    socketio: socketio.url,
    graphql: graphql.url,
    closing,
    broken: "ws://127.0.0.1:1",
  };
  const pool = { healthCheck: "off", affinity: "off", outlier: "off" };
  const closingRoutes = protocols.flatMap((protocol) =>
    closes.map(({ given }) => ({
      match: { path: `/${protocol}/closed-${given}` },
      pool: protocol,
      closeCodes: { backend_draining: given === "cut" ? "none" : given },
    })),
  );
  const routes = [
    ...closingRoutes,
    { match: { path: "/*/broken" }, pool: "broken" },
    { match: { path: "/refused/*" }, pool: "closing" },
    { match: { path: "/page" }, pool: "echo" },
  ];
  const poolsOf = (entries: Readonly<Record<string, string>>) =>
    Object.entries(entries).map(([name, url]) => [name, { ...pool, backends: [{ id: "only", url }] }]);
  return (rejectWith) => ({
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    timeouts: { ping: "off" },
    limits: { rejectWith },
    routes,
    pools: Object.fromEntries(poolsOf(urls)),
  });
}

/** Accepts, as a refusing Weir does, and closes at once with the code that ends the path. */
async function startClosingBackend(): Promise<string> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  server.on("connection", (socket, { url = "" }) =>
    socket.close(Number(/\d+$/.exec(url.split("?")[0] ?? "")?.[0])),
  );
  await once(server, "listening");
  onCleanup("the backend that closes", async () => {
    server.close();
    await once(server, "close");
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Weir's own refusals with these codes, and for the others what looks just like them. */
function refusingPath(code: Case["given"], protocol: string): string {
  if (code === ERRORS.no_route.closeCode) return "/nowhere";
  return code === ERRORS.backend_failed.closeCode ? `/${protocol}/broken` : `/refused/${code}`;
}

/** Every connection of the pool ends as its route's `closeCodes` say. */
async function closeAll({ adminUrl }: StartedWeir, pool: string): Promise<void> {
  const { status } = await ask(`${adminUrl}/api/pools/${pool}/backends/only`, {
    method: "PUT",
    body: '{"state":"down"}',
  });
  expect(status).toBe(200);
}

function reactionsOf(cases: readonly (readonly Trial[])[]): Promise<Reaction[][]> {
  const all = cases.map((trials) => Promise.all(trials.map(({ reaction }) => reaction)));
  return within("the reactions", Promise.all(all), patience);
}

/** Those that have the same code become one; those without one go. */
function grouped(pairs: readonly (readonly [Case["given"] | null, string])[]): Case[] {
  const reasons = new Map<Case["given"], string[]>();
  for (const [given, reason] of pairs) {
    if (given !== null)
      reasons.set(
        given,
        [...(reasons.get(given) ?? []), reason].filter((one) => one !== ""),
      );
  }
  return Array.from(reasons, ([given, reasons]) => ({ given, reasons })).toSorted(
    (a, b) => rank(a) - rank(b),
  );
}

function rank({ given }: Case): number {
  return given === "cut" ? Infinity : given;
}
