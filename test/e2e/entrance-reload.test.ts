// A reload that changes what a listener's clients have to show (certificates, a PROXY header): who has shown
// something else is asked again, but for WebSockets that are open.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { expect, test } from "vitest";

import { makeAuthority, openssl } from "../support/certificates.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { isMissing } from "../support/requirement.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";

type Section = Readonly<Record<string, unknown>>;

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const PROXY_HEADER = "PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";

interface Clients {
  readonly what: string;
  /** Has had an answer. */
  readonly idle: RawConnection;
  /** Has sent no request. */
  readonly silent: RawConnection;
  readonly webSocket: RawConnection;
}

interface Shown {
  readonly tls?: ConnectionOptions;
  readonly header?: string;
}

async function openClients(what: string, url: string, { tls, header = "" }: Shown): Promise<Clients> {
  const open = async (bytes: string): Promise<RawConnection> => {
    const connection = await connectRaw(url, tls === undefined ? {} : { tls });
    if (header + bytes !== "") await connection.write(header + bytes);
    return connection;
  };
  const [idle, silent, webSocket] = [await open(REQUEST), await open(""), await open(upgradeRequest())];
  await answered(idle);
  expect((await webSocket.readHead()).status).toBe(101);
  return { what, idle, silent, webSocket };
}

/** With the whole answer, so that the socket is idle on Weir's side, too. */
async function answered(connection: RawConnection): Promise<void> {
  const head = await connection.readHead();
  expect(head.status).toBe(200);
  await connection.readBytes(Number(head.header("content-length")));
}

test.skipIf(isMissing(openssl))(
  "ends sockets that wait for requests where another policy holds, and no WebSocket, and none where only certificates changed",
  async () => {
    const [authority, other] = [await makeAuthority(), await makeAuthority()];
    const [old, young] = [await authority.sign(), await authority.sign()];
    const client = await authority.sign({ subject: "/CN=ann" });
    const shown = { rejectUnauthorized: false, cert: client.cert, key: client.key };
    const folder = await temporaryFolder();
    const served = { cert: join(folder, "a.crt"), key: join(folder, "a.key") };
    const serve = async ({ files }: typeof old): Promise<void> => {
      await copyFile(files.cert, served.cert);
      await copyFile(files.key, served.key);
    };
    await serve(old);
    const tls = { certificates: [served], clientCa: authority.file, clientCert: "required" };
    const before: Record<string, [listener: Section, shown: Shown]> = {
      "another clientCa": [{ tls }, { tls: shown }],
      "certificates required": [{ tls: { ...tls, clientCert: "optional" } }, { tls: shown }],
      "a newer TLS": [{ tls }, { tls: shown }],
      "no TLS any more": [{ tls }, { tls: shown }],
      "a PROXY header": [{}, {}],
      "other trusted proxies": [{ proxyProtocol: "on" }, { header: PROXY_HEADER }],
      "nothing but another certificate": [{ tls }, { tls: shown }],
      "nothing at all": [{}, {}],
    };
    const after: Record<string, Section> = {
      "another clientCa": { tls: { ...tls, clientCa: other.file } },
      "certificates required": { tls },
      "a newer TLS": { tls: { ...tls, minVersion: "TLSv1.3" } },
      "no TLS any more": {},
      "a PROXY header": { proxyProtocol: "on" },
      "other trusted proxies": { proxyProtocol: "on" },
      "nothing but another certificate": { tls },
      "nothing at all": {},
    };
    const backend = await startEchoBackend();
    const common = { timeouts: { ping: "off", keepAlive: "1m", handshake: "1m" } };
    const listenersOf = (all: Iterable<Section>): Section[] =>
      Array.from(all, (listener) => ({ bind: "127.0.0.1:0", ...listener }));
    const listeners = listenersOf(Object.values(before).map(([listener]) => listener));
    const weir = await startInFrontOf(backend.url, { config: { ...common, listeners } });
    const clients: Clients[] = [];
    for (const [index, [what, [, show]]] of Object.entries(before).entries()) {
      clients.push(await openClients(what, weir.weir.addresses.listeners[index] ?? "", show));
    }

    await serve(young);
    const config = {
      ...common,
      trustedProxies: ["10.0.0.0/8"],
      listeners: listenersOf(Object.values(after)),
    };
    await reloadInFrontOf(weir, backend.url, { config });
    for (const { what, idle, silent, webSocket } of clients) {
      if (what.startsWith("nothing")) {
        for (const connection of [idle, silent]) {
          await connection.write(REQUEST);
          await answered(connection);
        }
      } else {
        await Promise.all([idle.untilClosed(), silent.untilClosed()]);
      }
      await webSocket.sendText("who");
      expect.soft({ what, answer: await webSocket.nextText() }).toEqual({ what, answer: "echo" });
    }
  },
);

test("lets an answer that is on its way arrive whole, and serves nothing that comes behind it", async () => {
  const { promise: mayAnswer, resolve: release } = Promise.withResolvers<void>();
  const backend = await startScriptedBackend(async (connection) => {
    await connection.readHead();
    await mayAnswer;
    await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole");
  });
  const weir = await startInFrontOf(backend.url);
  const [plain, piped, upgrading] = [
    await connectRaw(weir.httpUrl),
    await connectRaw(weir.httpUrl),
    await connectRaw(weir.httpUrl),
  ];
  for (const connection of [plain, piped, upgrading]) await connection.write(REQUEST);
  await backend.connection(2);

  const listeners = [{ bind: "127.0.0.1:0", proxyProtocol: "on" }];
  await reloadInFrontOf(weir, backend.url, { config: { listeners } });
  await piped.write(REQUEST);
  await upgrading.write(upgradeRequest());
  // Their bytes have come before these of a newcomer.
  const newcomer = await connectRaw(weir.httpUrl);
  await newcomer.write(PROXY_HEADER + REQUEST);
  await backend.connection(3);
  release();
  for (const connection of [plain, piped, upgrading]) {
    const head = await connection.readHead();
    expect(head.status).toBe(200);
    expect((await connection.readBytes(5)).toString()).toBe("whole");
    await connection.untilClosed();
    expect(connection.buffered).toHaveLength(0);
  }
  expect(backend.connections).toHaveLength(4);
});

test("serves nobody who began to show one thing before it, and ends with it when another is asked for", async () => {
  const backend = await startEchoBackend();
  const listeners = [{ bind: "127.0.0.1:0", proxyProtocol: "on" }];
  const common = { timeouts: { ping: "off", handshake: "1m" }, listeners };
  const weir = await startInFrontOf(backend.url, { config: common });
  const half = async (): Promise<RawConnection> => {
    const connection = await connectRaw(weir.httpUrl);
    await connection.write(PROXY_HEADER.slice(0, 20));
    // Sockets are accepted in their order: once this one is served, that one has begun.
    const next = await connectRaw(weir.httpUrl);
    await next.write(PROXY_HEADER + REQUEST);
    await answered(next);
    return connection;
  };
  const rest = PROXY_HEADER.slice(20);

  const begun = await half();
  await reloadInFrontOf(weir, backend.url, { config: { ...common, limits: { maxHeaderSize: "8KiB" } } });
  await begun.write(rest + REQUEST);
  await answered(begun);

  const late = await half();
  await reloadInFrontOf(weir, backend.url, { config: { ...common, trustedProxies: ["10.0.0.0/8"] } });
  await late.write(rest);
  expect(await late.untilClosed()).not.toBe("open");
});
