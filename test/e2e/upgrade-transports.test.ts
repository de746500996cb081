// The ways to reach Weir and the ways it reaches backends: IPv4, IPv6, Unix sockets, TLS, path prefixes.
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf, startInFrontOfEach } from "../support/start-in-front.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

/** What a plain request and an upgrade come to: its status, and who answers in the WebSocket. */
async function served(url: string, path = "/hello?a=1"): Promise<[status: number, id: string]> {
  const connection = await connectRaw(url);
  await connection.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  const { status } = await connection.readHead();
  const opened = await openRaw(url, { path });
  await opened.connection.sendText("who");
  return [status, await opened.connection.nextText()];
}

const both: [status: number, id: string] = [200, "echo"];

describe("a backend", () => {
  test("on IPv6", async () => {
    const backend = await startEchoBackend({ host: "::1" });
    const weir = await startInFrontOf(backend.url);
    expect(await served(weir.url)).toEqual(both);
  });

  test("by a name", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(`ws://localhost:${backend.port}`);
    expect(await served(weir.url)).toEqual(both);
  });

  test("on a Unix socket", async () => {
    const unixPath = join(await temporaryFolder(), "backend.sock");
    const backend = await startEchoBackend({ unixPath });
    const weir = await startInFrontOf(backend.url);
    expect(await served(weir.url)).toEqual(both);
    expect(backend.upgrades[0]?.headers.host).toBe("localhost");
  });

  test("on a Unix socket with a path prefix", async () => {
    const unixPath = join(await temporaryFolder(), "backend.sock");
    const backend = await startEchoBackend({ unixPath });
    const weir = await startInFrontOf(`${backend.url}:/base`);
    expect(await served(weir.url)).toEqual(both);
    expect(backend.upgrades[0]?.url).toBe("/base/hello?a=1");
  });

  test("with a path prefix", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(`${backend.url}/base/`);
    expect(await served(weir.url)).toEqual(both);
    expect(backend.upgrades[0]?.url).toBe("/base/hello?a=1");
    expect(backend.requests[0]?.url).toBe("/base/hello?a=1");
  });
});

describe("a listener", () => {
  test("on IPv6", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: { listeners: ["[::1]:0"], trustedProxies: [] },
    });
    expect(weir.url).toMatch(/^ws:\/\/\[::1\]:\d+$/);
    expect(await served(weir.url)).toEqual(both);
    expect(backend.upgrades[0]?.headers["x-forwarded-for"]).toBe("::1");
  });

  test("on a Unix socket, whose clients are trusted", async () => {
    const backend = await startEchoBackend();
    const path = join(await temporaryFolder(), "weir.sock");
    const weir = await startInFrontOf(backend.url, { config: { listeners: [`unix:${path}`], threads: 2 } });
    expect(weir.url).toBe(`unix:${path}`);
    expect(await served(weir.url)).toEqual(both);
    await openRaw(weir.url, { lines: ["X-Forwarded-For: 192.0.2.7", "X-Request-Id: mine"] });
    expect(backend.upgrades[1]?.headers).toMatchObject({
      "x-weir-user": "ip:192.0.2.7",
      "x-request-id": "mine",
    });
  });

  test("is one of several, on as many threads as there are", async () => {
    const backend = await startEchoBackend();
    const path = join(await temporaryFolder(), "weir.sock");
    const listeners = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0", `unix:${path}`];
    const { weir } = await startInFrontOf(backend.url, { config: { listeners, threads: 2 } });
    expect(new Set(weir.addresses.listeners).size).toBe(4);
    for (const address of weir.addresses.listeners) expect(await served(address)).toEqual(both);
  });
});

describe.skipIf(isMissing(openssl))("a backend behind TLS", () => {
  test("is reached where its certificate is of the given CA", async () => {
    const certificates = await makeCertificates();
    const backend = await startEchoBackend({ tls: certificates });
    const weir = await startInFrontOf({ url: `${backend.url}/base`, tls: { ca: certificates.files.ca } });
    expect(await served(weir.url)).toEqual(both);
    const client = await openClient(weir.url);
    const large = "x".repeat(1_000_000);
    expect(await client.ask(large)).toBe(large);
  });

  test.for([
    ["the CA is another", "DNS:localhost,IP:127.0.0.1", "another CA"],
    ["the system's CAs do not know it", "DNS:localhost,IP:127.0.0.1", "the system's"],
    ["its name is another", "DNS:elsewhere", "its own CA"],
  ] as const)("is refused with 502 where %s", async ([, names, authority]) => {
    const certificates = await makeCertificates({ names });
    const backend = await startEchoBackend({ tls: certificates });
    const other = authority === "another CA" ? await makeCertificates() : certificates;
    const tls = authority === "the system's" ? {} : { tls: { ca: other.files.ca } };
    const weir = await startInFrontOf({ url: backend.url, ...tls });
    const refusal = await expectRefusal(weir.url);
    expect(refusal.status).toBe(502);
    expect(JSON.parse(refusal.body)).toMatchObject({ error: "backend_failed" });
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await connection.readHead()).status).toBe(502);
    expect([...backend.upgrades, ...backend.requests]).toEqual([]);
  });

  test("is reached in any case with verify: false", async () => {
    const certificates = await makeCertificates({ names: "DNS:elsewhere" });
    const backend = await startEchoBackend({ tls: certificates });
    const weir = await startInFrontOf({ url: backend.url, tls: { verify: false } });
    expect(await served(weir.url)).toEqual(both);
  });

  test("is reached by another name with serverName", async () => {
    const certificates = await makeCertificates({ names: "DNS:elsewhere" });
    const backend = await startEchoBackend({ tls: certificates });
    const tls = { ca: certificates.files.ca, serverName: "elsewhere" };
    const weir = await startInFrontOf({ url: backend.url, tls });
    expect(await served(weir.url)).toEqual(both);
  });

  test("that asks for a certificate is shown Weir's, and answered 502 for where Weir has none", async () => {
    const certificates = await makeCertificates();
    const client = await makeCertificates({ subject: "/CN=weir" });
    const server = createServer({ ...certificates, ca: client.ca, requestCert: true });
    const names: unknown[] = [];
    server.on("upgrade", ({ socket }) => {
      names.push((socket as TLSSocket).getPeerCertificate().subject.CN);
      socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    onCleanup("the backend", () => void server.close());
    const url = `wss://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { ca } = certificates.files;
    const { cert, key } = client.files;
    const weir = await startInFrontOfEach([
      { url, tls: { ca, cert, key } },
      { url, tls: { ca } },
    ]);
    expect((await expectRefusal(`${weir.url}/0`)).status).toBe(403);
    expect((await expectRefusal(`${weir.url}/1`)).status).toBe(502);
    expect(names).toEqual(["weir"]);
  });

  test("is answered 502 where it speaks no TLS", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf({ url: backend.url.replace("ws:", "wss:"), tls: { verify: false } });
    expect((await expectRefusal(weir.url)).status).toBe(502);
  });

  test("is answered 502 where it speaks TLS and Weir does not", async () => {
    const backend = await startEchoBackend({ tls: await makeCertificates() });
    const weir = await startInFrontOf({ url: backend.url.replace("wss:", "ws:") });
    expect((await expectRefusal(weir.url)).status).toBe(502);
  });
});
