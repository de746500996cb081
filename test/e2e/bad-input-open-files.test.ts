// Each socket is a file to the system, and a process may have so many of them. Who asks for nothing cannot take
// those that others need; and where they are taken all the same, what cannot be opened ends no more than its own
// attempt.
import { expect, test } from "vitest";

import { type Certificates, makeCertificates, openssl } from "../support/certificates.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { isMissing } from "../support/requirement.ts";
import { scrape } from "../support/metrics.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { type SpawnedWeir, spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const OPEN_FILES = 150;

async function startWithFewFiles(
  config: Readonly<Record<string, unknown>>,
  openFiles = OPEN_FILES,
): Promise<SpawnedWeir> {
  const whole = { threads: 1, listeners: ["127.0.0.1:0"], admin: { bind: "127.0.0.1:0" }, ...config };
  return await spawnWeir(JSON.stringify(whole), { openFiles });
}

/** Silent, or asking for something, none of whom leaves; no longer than until one finds no place. */
async function crowd(
  target: string,
  begin: (connection: RawConnection) => Promise<unknown> = async () => {},
): Promise<RawConnection[]> {
  const connections: RawConnection[] = [];
  for (let i = 0; i < 2 * OPEN_FILES; i += 1) {
    const connection = await connectRaw(target, { allowHalfOpen: true });
    await begin(connection);
    connections.push(connection);
  }
  await until("one that found no place", () => connections.some(({ peerState }) => peerState !== "open"));
  return connections;
}

/** Whether anybody reads it or not. */
function sending(bytes: string): (connection: RawConnection) => Promise<void> {
  return (connection) => connection.write(bytes).catch(() => {});
}

test("silent clients keep nobody out: those that have waited longest make room", async () => {
  expect(await besideSilentClients(null)).toEqual(SERVED);
});

test.skipIf(isMissing(openssl))("silent clients keep nobody out before a TLS handshake either", async () => {
  expect(await besideSilentClients(await makeCertificates())).toEqual(SERVED);
});

const SERVED = { early: "still there?", late: "me too", isOldestOpen: false, isNewestOpen: true };

async function besideSilentClients(certificates: Certificates | null): Promise<typeof SERVED> {
  const backend = await startEchoBackend();
  const tls =
    certificates === null
      ? "off"
      : { certificates: [{ cert: certificates.files.cert, key: certificates.files.key }] };
  const trust = certificates === null ? {} : { ca: certificates.ca };
  const weir = await startWithFewFiles({
    listeners: [{ bind: "127.0.0.1:0", tls }],
    // Nobody is cut because its time is over.
    timeouts: { handshake: "10m" },
    limits: { maxConnections: 10 },
    pools: { chat: { backends: [backend.url], healthCheck: { type: "tcp", interval: "100ms" } } },
  });
  const early = await openClient(weir.url, trust);
  const silent = await crowd(weir.httpUrl.replace("https:", "http:"));
  const [isOldestOpen, isNewestOpen] = [silent.at(0), silent.at(-1)].map((one) => one?.peerState === "open");
  const late = await openClient(weir.url, trust);
  const answers = { early: await early.ask(SERVED.early), late: await late.ask(SERVED.late) };
  await until("every cut is counted as a head that was not whole in time", async () => {
    const cut = silent.filter(({ peerState }) => peerState !== "open").length;
    return (await scrape(weir.adminUrl)).sum("weir_upgrades_total", { result: "head_timeout" }) === cut;
  });
  await weir.untilPrinted(/clients that ask for nothing are cut, the oldest first/);
  return { ...answers, isOldestOpen: isOldestOpen === true, isNewestOpen: isNewestOpen === true };
}

test("clients that keep a socket after their answer make room too", async () => {
  const weir = await startWithFewFiles({
    listeners: [{ bind: "127.0.0.1:0", healthPath: "/health" }],
    timeouts: { handshake: "10m", keepAlive: "10m" },
    pools: { chat: { backends: ["ws://127.0.0.1:1"], healthCheck: "off" } },
  });
  // One after the other, so that the first is the one that has asked for nothing for longest.
  const served = await crowd(weir.httpUrl, async (connection) => {
    await connection.write("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    await connection.readHead();
  });
  expect(served.at(0)?.peerState).not.toBe("open");
  expect(served.at(-1)?.peerState).toBe("open");
});

test("as many connections as there are files for find a place beside clients that are silent and keep coming", async () => {
  const backend = await startEchoBackend();
  const connections = 110;
  const config = {
    timeouts: { handshake: "10m" },
    limits: { maxConnections: connections },
    pools: { chat: { backends: [backend.url], healthCheck: "off" } },
  };
  // Two for each, and some for Weir itself and for who is on the way.
  const weir = await startWithFewFiles(config, 2 * connections + 80);
  await crowd(weir.httpUrl);
  // Each takes two files, and with each comes another that takes one.
  for (let i = 0; i < connections; i += 1) {
    const client = await openClient(weir.url);
    expect(await client.ask(`I am ${i}`)).toBe(`I am ${i}`);
    await connectRaw(weir.httpUrl);
  }
});

test.for(["http", "close"])(
  "clients that were refused and do not leave make room, rejectWith: %s",
  async (rejectWith) => {
    const backend = await startEchoBackend();
    const weir = await startWithFewFiles({
      // Nobody is cut because its time is over.
      timeouts: { handshake: "10m", close: "10m" },
      limits: { rejectWith, maxConnections: 10 },
      routes: [{ match: { path: "/chat" }, pool: "chat" }],
      pools: { chat: { backends: [backend.url], healthCheck: "off" } },
    });
    const early = await openClient(`${weir.url}/chat`);
    await crowd(weir.httpUrl, sending(upgradeRequest({ path: "/nowhere" })));
    const late = await openClient(`${weir.url}/chat`);
    expect([await early.ask("still there?"), await late.ask("me too")]).toEqual(["still there?", "me too"]);
  },
);

test("clients that take every file end nothing, and Weir serves on once they are gone", async () => {
  const backend = await startEchoBackend();
  const mute = await startScriptedBackend(() => {});
  const weir = await startWithFewFiles({
    timeouts: { http: "2s" },
    // Two connections of two make its health worse, which is told while no file can be opened.
    limits: { maxConnections: 2 },
    routes: [{ match: { path: "/mute" }, pool: "mute" }, { pool: "chat" }],
    pools: {
      chat: { backends: [backend.url], healthCheck: { type: "tcp", interval: "100ms" } },
      mute: { backends: [mute.url], healthCheck: "off", outlier: "off" },
    },
  });
  const early = await openClient(weir.url);
  const leaving = await openClient(weir.url);
  const asking = await crowd(weir.httpUrl, sending("GET /mute HTTP/1.1\r\nHost: a\r\n\r\n"));
  expect(await early.ask("still there?")).toBe("still there?");
  // Longer than the intervals at which Weir looks at its backends and at itself.
  await weir.untilPrinted(/backend_timeout/);
  expect(await early.ask("and now?")).toBe("and now?");
  await leaving.close(1000);
  for (const { socket } of asking) socket.destroy();
  const late = await until("a new client", () => openClient(weir.url).catch(() => null));
  expect(await late.ask("me too")).toBe("me too");
});
