// From where and to where backends are dialled: our own source addresses, and the addresses of a name as
// a grant gives them. The dial itself is run here, on real sockets, since what a name resolves to is not
// a test's to say.
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";

import { Dial, type DialResult } from "../../src/data-plane/dial.ts";
import { DialFailure } from "../../src/data-plane/dial-failure.ts";
import type { DialTarget } from "../../src/data-plane/dial-target.ts";
import { makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { targetOf } from "../support/dial-target.ts";
import type { HttpHead } from "../support/http-head.ts";
import { untilMetric } from "../support/metrics.ts";
import { acceptFor, connectRaw, openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { accept, acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { expectRefusal } from "../support/ws-client.ts";

/** An address of TEST-NET-1, which no machine has. */
const NOT_OURS = "192.0.2.1";

const key = "dGhlIHNhbXBsZSBub25jZQ==";

const HEADERS = Object.entries({
  Host: "asked.example",
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Key": key,
  "Sec-WebSocket-Version": "13",
}).flat();

function dial(target: DialTarget, addresses: readonly string[] | null): Dial {
  return new Dial({
    target,
    addresses,
    proxyHeader: null,
    path: "/",
    headers: HEADERS,
    key,
    offeredProtocols: undefined,
    offeredExtensions: undefined,
    answerExtensions: null,
    handshakeTimeoutMs: 5_000,
    maxHeaderSize: 16_384,
  });
}

/** The address that the dial reached, its socket closed again. */
async function reached(result: Promise<DialResult>): Promise<string | undefined> {
  const outcome = await result;
  if (outcome.kind !== "switched") throw new Error(`answered ${outcome.response.statusCode}`);
  const { remoteAddress } = outcome.socket;
  outcome.socket.destroy();
  return remoteAddress;
}

interface SilentServer {
  readonly port: number;
  /** Sockets ever accepted, and those that are open. */
  readonly accepted: number;
  readonly open: number;
}

/** Accepts TCP and says nothing. */
async function listenSilently(host: string, port: number): Promise<SilentServer> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => sockets.push(socket.on("error", () => {}).resume()));
  server.listen(port, host);
  await once(server, "listening");
  onCleanup("a silent server", async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const address = server.address();
  return {
    port: address !== null && typeof address === "object" ? address.port : 0,
    get accepted() {
      return sockets.length;
    },
    get open() {
      return sockets.filter(({ closed }) => !closed).length;
    },
  };
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** Answers plain requests and accepts upgrades; notes where each socket came from. */
async function startNotingBackend(
  options: { readonly host?: string } = {},
): Promise<{ readonly url: string; readonly peers: (string | undefined)[] }> {
  const peers: (string | undefined)[] = [];
  const { url } = await startScriptedBackend(async (connection) => {
    peers.push(connection.socket.remoteAddress);
    const head = await connection.readHead();
    const isUpgrade = head.header("upgrade") !== undefined;
    await connection.write(
      isUpgrade ? switchingProtocols(head) : "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n",
    );
  }, options);
  return { url, peers };
}

function switchingProtocols(head: HttpHead): string {
  const accept = acceptFor(head.header("sec-websocket-key") ?? "");
  return `HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/** A plain request; returns its status. */
async function request(url: string): Promise<number> {
  const connection = await connectRaw(url);
  await connection.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  return (await connection.readHead()).status;
}

describe("source addresses", () => {
  test("are dialled from in turn, by upgrades and plain requests alike", async () => {
    const backend = await startNotingBackend();
    const weir = await startInFrontOf(backend.url, {
      pool: { sourceAddresses: ["127.0.0.2", "127.0.0.3"] },
    });
    for (let i = 0; i < 3; i++) await openRaw(weir.url);
    expect(await request(weir.httpUrl)).toBe(204);
    const [first, second] = backend.peers;
    expect(new Set([first, second])).toEqual(new Set(["127.0.0.2", "127.0.0.3"]));
    expect(backend.peers).toEqual([first, second, first, second]);
  });

  test("are of the backend's family, or the system's choice where there is none", async () => {
    const sourceAddresses = ["::1", "127.0.0.2"];
    const [four, six] = [await startNotingBackend(), await startNotingBackend({ host: "::1" })];
    const weir = await startInFrontOf(four.url, {
      pool: { sourceAddresses },
      config: {
        routes: [
          { match: { path: "/six" }, pool: "six" },
          { match: { path: "/none" }, pool: "none" },
          { match: { path: "/*" }, pool: "chat" },
        ],
        pools: {
          six: { healthCheck: "off", sourceAddresses, backends: [six.url] },
          none: { healthCheck: "off", sourceAddresses: ["::1"], backends: [four.url] },
        },
      },
    });
    for (const path of ["/", "/", "/none", "/six"]) await openRaw(weir.url, { path });
    expect(four.peers).toEqual(["127.0.0.2", "127.0.0.2", "127.0.0.1"]);
    expect(six.peers).toEqual(["::1"]);
  });

  test("that are not the machine's are passed over", async () => {
    const backend = await startNotingBackend();
    const weir = await startInFrontOf(backend.url, {
      pool: { sourceAddresses: [NOT_OURS, "127.0.0.2"] },
    });
    for (let i = 0; i < 2; i++) await openRaw(weir.url);
    for (let i = 0; i < 2; i++) expect(await request(weir.httpUrl)).toBe(204);
    expect(backend.peers).toEqual(Array.from({ length: 4 }, () => "127.0.0.2"));
    await untilMetric(weir.adminUrl, 0, "weir_dial_retries_total", { pool: "chat" });
  });

  test("of which none is the machine's are answered 502, and the backend is not blamed", async () => {
    const backend = await startNotingBackend();
    const weir = await startInFrontOf(backend.url, { pool: { sourceAddresses: [NOT_OURS] } });
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 502 });
    expect(await request(weir.httpUrl)).toBe(502);
    await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: "chat", code: "502" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_failures_total", { pool: "chat" });
    expect(backend.peers).toEqual([]);
  });
});

describe("the addresses of a name", () => {
  test("are tried in their order until one answers", async () => {
    const backend = await startScriptedBackend(accept());
    const target = targetOf({ url: `ws://name.invalid:${portOf(backend.url)}` });
    expect(await reached(dial(target, ["127.0.0.2", "127.0.0.3", "127.0.0.1"]).result)).toBe("127.0.0.1");
    const other = await startScriptedBackend(accept(), { host: "127.0.0.2" });
    const two = targetOf({ url: `ws://name.invalid:${portOf(other.url)}` });
    expect(await reached(dial(two, ["127.0.0.2", "127.0.0.1"]).result)).toBe("127.0.0.2");
  });

  test("take the place of the name on the way only: Host stays as the client has it", async () => {
    const heads: HttpHead[] = [];
    const backend = await startScriptedBackend(async (connection) => {
      heads.push(await acceptUpgrade(connection));
    });
    const target = targetOf({ url: `ws://name.invalid:${portOf(backend.url)}` });
    await reached(dial(target, ["127.0.0.1"]).result);
    expect(heads[0]?.header("host")).toBe("asked.example");
  });

  test("do not matter to a backend that is configured by its address", async () => {
    const backend = await startScriptedBackend(accept());
    expect(await reached(dial(targetOf({ url: backend.url }), ["127.0.0.9"]).result)).toBe("127.0.0.1");
  });

  test("are looked up where the grant has none", async () => {
    const backend = await startScriptedBackend(accept());
    const target = targetOf({ url: backend.url.replace("127.0.0.1", "localhost") });
    expect(await reached(dial(target, null).result)).toBe("127.0.0.1");
  });

  test("that cannot be found are a failed connect", async () => {
    // Too long for a label: no resolver is asked.
    const { result } = dial(targetOf({ url: `ws://${"a".repeat(64)}:1` }), null);
    await expect(result).rejects.toMatchObject({ fault: "connect", message: /ENOTFOUND/ });
  });

  test("all fail: so does the dial, and the backend is to blame", async () => {
    const target = targetOf({ url: "ws://name.invalid:1" });
    const failure = await dial(target, ["127.0.0.2", "127.0.0.3"]).result.catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DialFailure);
    expect(failure).toMatchObject({ code: "backend_failed", fault: "connect" });
  });

  test("all take too long: so does the dial", async () => {
    const { port } = await listenSilently("127.0.0.1", 0);
    await listenSilently("127.0.0.2", port);
    const target = targetOf({ url: `wss://name.invalid:${port}` }, { connectTimeout: "600ms" });
    const failure = await dial(target, ["127.0.0.1", "127.0.0.2"]).result.catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "backend_timeout", fault: "timeout" });
  });

  test("are given up with the dial, whichever of them are being tried", async () => {
    const first = await listenSilently("127.0.0.1", 0);
    const second = await listenSilently("127.0.0.2", first.port);
    const given = dial(targetOf({ url: `wss://name.invalid:${first.port}` }), ["127.0.0.1", "127.0.0.2"]);
    await until("both are tried", () => first.accepted === 1 && second.accepted === 1);
    given.abort();
    await expect(given.result).rejects.toMatchObject({ code: "client_gone" });
    await until("both sockets are closed", () => first.open === 0 && second.open === 0);
  });

  test("carry plain requests too", async () => {
    const backend = await startNotingBackend();
    const target = targetOf({ url: `ws://name.invalid:${portOf(backend.url)}` });
    const agent = target.agentFor(["127.0.0.2", "127.0.0.1"], null);
    const answered = once(http.get("http://name.invalid/", { agent }), "response");
    const [response] = (await answered) as [http.IncomingMessage];
    response.resume();
    await once(response, "close");
    expect(response.statusCode).toBe(204);
    expect(target.agentFor(["127.0.0.2", "127.0.0.1"], null)).toBe(agent);
    expect(target.agentFor(["127.0.0.1"], null)).not.toBe(agent);
    target.retire();
  });
});

describe.skipIf(isMissing(openssl))("a name behind TLS", () => {
  test("is asked for by SNI and checked against the certificate, whatever the address is", async () => {
    const { cert, key: privateKey, files } = await makeCertificates({ names: "DNS:name.invalid" });
    const backend = await startScriptedBackend(accept(), { tls: { cert, key: privateKey } });
    const port = portOf(backend.url);
    const rightly = targetOf({ url: `wss://name.invalid:${port}`, tls: { ca: files.ca } });
    expect(await reached(dial(rightly, ["127.0.0.1"]).result)).toBe("127.0.0.1");
    expect(backend.connections[0]?.socket).toMatchObject({ servername: "name.invalid" });
    const wrongly = targetOf({ url: `wss://other.invalid:${port}`, tls: { ca: files.ca } });
    await expect(dial(wrongly, ["127.0.0.1"]).result).rejects.toMatchObject({
      code: "backend_failed",
      fault: "connect",
      message: /ERR_TLS_CERT_ALTNAME_INVALID/,
    });
  });

  test("whose first address hangs is reached at the next", async () => {
    const { cert, key: privateKey, files } = await makeCertificates({ names: "DNS:name.invalid" });
    const backend = await startScriptedBackend(accept(), { tls: { cert, key: privateKey } });
    const port = portOf(backend.url);
    const silent = await listenSilently("127.0.0.2", port);
    const target = targetOf({ url: `wss://name.invalid:${port}`, tls: { ca: files.ca } });
    expect(await reached(dial(target, ["127.0.0.2", "127.0.0.1"]).result)).toBe("127.0.0.1");
    await until("the first try is given up", () => silent.accepted === 1 && silent.open === 0);
  });

  test("is greeted with the session of the last handshake", async () => {
    const { cert, key: privateKey, files } = await makeCertificates({ names: "DNS:name.invalid" });
    const backend = await startScriptedBackend(accept(), { tls: { cert, key: privateKey } });
    const target = targetOf({ url: `wss://name.invalid:${portOf(backend.url)}`, tls: { ca: files.ca } });
    const isReused: boolean[] = [];
    for (let i = 0; i < 2; i++) {
      const outcome = await dial(target, ["127.0.0.1"]).result;
      if (outcome.kind !== "switched" || !(outcome.socket instanceof TLSSocket)) throw new Error("no TLS");
      // Its ticket comes before the 101, which is encrypted behind it.
      isReused.push(outcome.socket.isSessionReused());
      outcome.socket.destroy();
    }
    expect(isReused).toEqual([false, true]);
  });
});
