// limits.rejectWith: close. An upgrade is refused by accepting it and closing it with a code, since that is
// all of a refusal that a page's script can read.
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { chromium, launchChromium } from "../support/chromium.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { limitedConfig } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { isMissing } from "../support/requirement.ts";
import { answer, resetAt, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

/** Each path is refused for a reason of its own; `/` and `/open` are served. */
async function startRefusing(): Promise<StartedWeir> {
  const echo = await startEchoBackend();
  const [broken, refusing] = await Promise.all([
    startScriptedBackend(resetAt("head")),
    startScriptedBackend(answer({ status: 403, body: "no" })),
  ]);
  const tiers = {
    member: { maxConnectionsPerUser: 1, default: true },
    full: { maxConnections: 1 },
    free: {},
  };
  const pool = { healthCheck: "off", affinity: "off", outlier: "off" };
  const config = {
    tiers,
    routes: ["chat", "broken", "refusing", "busy"].map((name) => ({
      match: { path: name === "chat" ? "/open*" : `/${name}` },
      pool: name,
    })),
    pools: {
      chat: { ...pool, backends: [echo.url] },
      broken: { ...pool, backends: [broken.url] },
      refusing: { ...pool, backends: [refusing.url] },
      busy: { ...pool, backends: [{ url: echo.url, capacity: 1 }] },
    },
  };
  return startWeir(JSON.stringify(limitedConfig([], { limits: { rejectWith: "close" }, config })));
}

const free = "X-User-Tier: free";
const full = "X-User-Tier: full";

/** Path, header lines, what the client is told. */
const refusals = [
  ["/nowhere", [free], 1008, "no_route"],
  ["/open", ["X-User-Id: ann"], 1008, "user_full"],
  ["/open", [full], 1013, "tier_full"],
  ["/busy", [free], 1013, "backends_full"],
  ["/broken", [free], 1013, "backend_failed"],
] as const;

/** Takes the places that make the refusals above. */
async function fill({ url }: StartedWeir): Promise<void> {
  await openClient(`${url}/open`, { headers: { "X-User-Id": "ann" } });
  await openClient(`${url}/open`, { headers: { "X-User-Tier": "full" } });
  await openClient(`${url}/busy`, { headers: { "X-User-Tier": "free" } });
}

describe("a refused upgrade", () => {
  test.for([
    ["without subprotocols", undefined, undefined],
    ["with subprotocols", ["chat.v2", "chat.v1"], "chat.v2"],
  ] as const)("is accepted and closed with a code and CODE, %s", async ([, offered, selected]) => {
    const weir = await startRefusing();
    await fill(weir);
    for (const [path, lines, code, reason] of refusals) {
      const protocols = offered === undefined ? {} : { protocols: offered };
      const extensions = "permessage-deflate";
      const { connection, response } = await openRaw(weir.url, { path, lines, extensions, ...protocols });
      expect(response.header("sec-websocket-protocol")).toBe(selected);
      expect(response.header("sec-websocket-extensions")).toBeUndefined();
      expect(await connection.nextClose()).toEqual({ code, reason });
      await connection.sendClose(code);
      expect(await connection.readToEnd()).toHaveLength(0);
      await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: reason });
    }
    await untilMetric(weir.adminUrl, 3, "weir_connections");
  });

  test("may have sent messages already, and may leave without an answer", async () => {
    const weir = await startRefusing();
    const early = await openRaw(`${weir.url}/nowhere`);
    await early.connection.sendFrame({ opcode: opcodes.text, payload: "nobody reads this" });
    expect(await early.connection.nextClose()).toEqual({ code: 1008, reason: "no_route" });
    early.connection.reset();
    const silent = await openRaw(`${weir.url}/nowhere`);
    expect(await silent.connection.nextClose()).toMatchObject({ code: 1008 });
    silent.connection.socket.destroy();
    const { connection } = await openRaw(`${weir.url}/open`);
    await connection.sendText("who");
    expect(await connection.nextText()).toBe("echo");
  });

  test("that does not answer the Close is cut after timeouts.close", async () => {
    const config = { timeouts: { close: "100ms" }, routes: [{ match: { path: "/open" }, pool: "chat" }] };
    const limits = { rejectWith: "close" };
    const weir = await startWeir(JSON.stringify(limitedConfig(["ws://127.0.0.1:9"], { limits, config })));
    const { connection } = await openRaw(`${weir.url}/nowhere`, { allowHalfOpen: true });
    expect(await connection.nextClose()).toMatchObject({ code: 1008, reason: "no_route" });
    expect(await connection.readToEnd()).toHaveLength(0);
  });

  test.for([
    ["one frame", Buffer.alloc(0)],
    ["what is no frame", Buffer.from("ffff", "hex")],
  ] as const)("whose client sends 50 MiB of %s first still reads its close code", async ([, prefix]) => {
    const config = { timeouts: { close: "30s" }, routes: [{ match: { path: "/open" }, pool: "chat" }] };
    const limits = { rejectWith: "close" };
    const weir = await startWeir(JSON.stringify(limitedConfig(["ws://127.0.0.1:9"], { limits, config })));
    const connection = await connectRaw(weir.url, { allowHalfOpen: true });
    connection.pause();
    const frame = connection.encode({ opcode: opcodes.binary, payload: Buffer.alloc(50 * 1024 * 1024) });
    await connection.write(upgradeRequest({ path: "/nowhere" }));
    await connection.write(prefix);
    await connection.write(frame);
    await connection.sendClose(1000);
    connection.finish();
    connection.resume();
    expect((await connection.readHead()).status).toBe(101);
    expect(await connection.nextClose()).toEqual({ code: 1008, reason: "no_route" });
    expect(await connection.readToEnd()).toHaveLength(0);
  });

  test("is answered by HTTP where it is no valid one, or where the backend has answered", async () => {
    const weir = await startRefusing();
    expect(await refusalOf(weir.url, upgradeRequest({ omit: ["Sec-WebSocket-Key"] }))).toMatchObject({
      status: 400,
      code: "bad_upgrade",
    });
    const head = await refusalOf(weir.url, upgradeRequest({ version: "12" }));
    expect(head).toMatchObject({ status: 426, code: "bad_upgrade" });
    await expect(openRaw(`${weir.url}/refusing`)).rejects.toThrow(/403/);
    const plain = "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    expect(await refusalOf(weir.url, plain)).toMatchObject({ status: 404, code: "no_route" });
  });
});

test.skipIf(isMissing(openssl))(
  "over TLS, a client that goes on to send reads its close code too",
  async () => {
    const { ca, files } = await makeCertificates();
    const certificate = { cert: files.cert, key: files.key };
    const config = {
      listeners: [{ bind: "127.0.0.1:0", tls: { certificates: [certificate] } }],
      routes: [{ match: { path: "/open" }, pool: "chat" }],
    };
    const limits = { rejectWith: "close" };
    const weir = await startWeir(JSON.stringify(limitedConfig(["ws://127.0.0.1:9"], { limits, config })));
    const connection = await connectRaw(weir.url, { tls: { ca }, allowHalfOpen: true });
    await connection.write(upgradeRequest({ path: "/nowhere" }));
    await connection.sendFrame({ opcode: opcodes.binary, payload: Buffer.alloc(4 * 1024 * 1024) });
    expect((await connection.readHead()).status).toBe(101);
    expect(await connection.nextClose()).toEqual({ code: 1008, reason: "no_route" });
    await connection.sendClose(1008);
    expect(await connection.readToEnd()).toHaveLength(0);
  },
);

test.skipIf(isMissing(chromium))(
  "a page in Chromium reads code and reason, with subprotocols and without",
  async () => {
    const weir = await startRefusing();
    const page = await (await launchChromium()).newPage();
    await page.goto(`${weir.httpUrl}/open`);
    const first = await openInPage(page, `${weir.url}/open`);
    expect(first).toBe("open");
    for (const protocols of [[], ["chat.v2", "chat.v1"]]) {
      const seen = await closeInPage(page, `${weir.url}/open`, protocols);
      expect(seen).toEqual({ code: 1008, reason: "user_full", wasClean: true });
      const lost = await closeInPage(page, `${weir.url}/nowhere`, protocols);
      expect(lost).toEqual({ code: 1008, reason: "no_route", wasClean: true });
    }
  },
);

/** Opens a WebSocket that stays open for as long as the page. */
async function openInPage(page: Page, url: string): Promise<string> {
  return page.evaluate(async (url) => {
    const socket = new WebSocket(url);
    Reflect.set(globalThis, "kept", socket);
    return new Promise<string>((resolve) => {
      socket.addEventListener("open", () => resolve("open"));
      socket.addEventListener("close", ({ code, reason }) => resolve(`${code} ${reason}`));
    });
  }, url);
}

/** The close event of a WebSocket that is refused. */
async function closeInPage(page: Page, url: string, protocols: string[]): Promise<object> {
  return page.evaluate(
    async ([url, protocols]: [string, string[]]) => {
      const socket = new WebSocket(url, protocols);
      return new Promise<object>((resolve) => {
        socket.addEventListener("close", ({ code, reason, wasClean }) => resolve({ code, reason, wasClean }));
      });
    },
    [url, protocols] as [string, string[]],
  );
}
