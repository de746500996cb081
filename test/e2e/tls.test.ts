// TLS on a listener: which certificate answers to which name, what a handshake may be, and that what follows
// it is relayed as without TLS.
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";

import { makeAuthority, makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { within } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

type Section = Readonly<Record<string, unknown>>;

const nowhere = "ws://127.0.0.1:1";

/** Weir with these certificates, the first of them for clients that ask for no name. */
async function startTls(
  certificates: readonly { readonly files: { readonly cert: string; readonly key: string } }[],
  options: { readonly backend?: string; readonly tls?: Section; readonly config?: Section } = {},
): Promise<StartedWeir> {
  const { backend = nowhere, tls = {}, config = {} } = options;
  const served = certificates.map(({ files: { cert, key } }) => ({ cert, key }));
  const listeners = [{ bind: "127.0.0.1:0", tls: { certificates: served, ...tls } }];
  return startInFrontOf(backend, { config: { listeners, ...config } });
}

/** Shakes hands; rejects with what the handshake failed of. */
async function handshake({ httpUrl }: StartedWeir, options: ConnectionOptions): Promise<TLSSocket> {
  const { port } = new URL(httpUrl);
  const socket = connect({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false, ...options });
  onCleanup("a TLS client", () => void socket.destroy());
  await within("a TLS handshake", once(socket, "secureConnect"));
  return socket;
}

/** The common name of the certificate that answers to a name. */
async function servedTo(weir: StartedWeir, servername?: string): Promise<unknown> {
  const socket = await handshake(weir, servername === undefined ? {} : { servername });
  return socket.getPeerCertificate().subject.CN;
}

describe.skipIf(isMissing(openssl))("a listener with TLS", () => {
  test("says https in its address and serves WebSockets and plain HTTP to who trusts its CA", async () => {
    const certificates = await makeCertificates();
    const backend = await startEchoBackend();
    const weir = await startTls([certificates], { backend: backend.url });
    expect(weir.httpUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const client = await openClient(weir.url, { ca: certificates.ca });
    expect(await client.ask("who")).toBe("echo");
    expect(backend.upgrades[0]?.headers["x-forwarded-proto"]).toBe("https");
    expect(await client.close(4001, "bye")).toEqual({ code: 4001, reason: "bye" });
    const plain = await connectRaw(weir.httpUrl, { tls: { ca: certificates.ca } });
    await plain.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect((await plain.readHead()).status).toBe(200);
  });

  test("answers to a name with the certificate that has it, exactly or by wildcard, else with its first", async () => {
    const { sign } = await makeAuthority();
    const named = (CN: string, names: string) => sign({ subject: `/CN=${CN}`, names });
    const weir = await startTls([
      await named("first", "DNS:first.test"),
      await named("exact", "DNS:chat.example.test,DNS:Upper.test"),
      await named("wild", "DNS:*.example.test"),
      await named("late", "DNS:first.test,DNS:*.example.test"),
      await named("no-names", "IP:127.0.0.1"),
    ]);
    const expected: [name: string | undefined, served: string][] = [
      [undefined, "first"],
      ["first.test", "first"],
      ["chat.example.test", "exact"],
      ["CHAT.Example.TEST", "exact"],
      ["upper.test", "exact"],
      ["other.example.test", "wild"],
      ["example.test", "first"],
      ["a.b.example.test", "first"],
      ["no-names", "first"],
      ["*.example.test", "first"],
      [".example.test", "first"],
      ["chat.example.test.", "first"],
      ["__proto__", "first"],
      ["constructor", "first"],
      ["xn--mnchen-3ya.test", "first"],
      [`${"a".repeat(240)}.test`, "first"],
    ];
    for (const [name, served] of expected) {
      expect.soft({ name, served: await servedTo(weir, name) }).toEqual({ name, served });
    }
  });

  test("routes by the Host, whatever name the handshake asked for", async () => {
    const certificates = await makeCertificates({ names: "DNS:a.test" });
    const weir = await startTls([certificates], {
      config: { routes: [{ match: { host: "b.test" }, pool: "chat" }] },
    });
    const ask = async (host: string): Promise<number> => {
      const connection = await connectRaw(weir.httpUrl, {
        tls: { ca: certificates.ca, servername: "a.test" },
      });
      await connection.write(upgradeRequest({ host }));
      return (await connection.readHead()).status;
    };
    expect([await ask("a.test"), await ask("b.test")]).toEqual([404, 502]);
  });

  test("speaks http/1.1 only, and no version below minVersion", async () => {
    const certificates = await makeCertificates();
    const weir = await startTls([certificates], { tls: { minVersion: "TLSv1.3" } });
    const both = await handshake(weir, { ALPNProtocols: ["h2", "http/1.1"] });
    expect([both.alpnProtocol, both.getProtocol()]).toEqual(["http/1.1", "TLSv1.3"]);
    await expect(handshake(weir, { ALPNProtocols: ["h2"] })).rejects.toThrow(/no application protocol/i);
    await expect(handshake(weir, { maxVersion: "TLSv1.2" })).rejects.toThrow(/protocol version/i);
    const older = await startTls([certificates]);
    expect((await handshake(older, { maxVersion: "TLSv1.2" })).getProtocol()).toBe("TLSv1.2");
    await expect(
      handshake(older, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" }),
    ).rejects.toThrow(/protocol version/i);
  });

  test("closes on garbage, on plain HTTP and on a hello cut short, logs it, and serves others", async () => {
    const certificates = await makeCertificates();
    const backend = await startEchoBackend();
    const weir = await startTls([certificates], { backend: backend.url });
    const bystander = await openClient(weir.url, { ca: certificates.ca });
    const plain = weir.httpUrl.replace("https", "http");
    const garbage = {
      "a plain HTTP request": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "random bytes": Buffer.alloc(2_000, 0xa5),
      "a record of no known type": Buffer.from("ff0303000401000000", "hex"),
      "a hello that is none": Buffer.from(`160301000501000001ff`, "hex"),
    };
    for (const [what, bytes] of Object.entries(garbage)) {
      const connection = await connectRaw(plain);
      await connection.write(bytes);
      await connection.untilPeerState("fin").catch(() => connection.untilPeerState("reset"));
      expect.soft(connection.buffered.includes("HTTP/1.1"), what).toBe(false);
    }
    const leaving = await connectRaw(plain);
    await leaving.write(Buffer.from("160301", "hex"));
    leaving.reset();
    await weir.log.entry(
      "the plain request",
      ({ message, fields, level }) =>
        level === "info" && message === "TLS handshake failed" && fields["reason"] === "ERR_SSL_HTTP_REQUEST",
    );
    await weir.log.entry(
      "the client that left",
      ({ message, level }) => level === "debug" && message === "client left in its TLS handshake",
    );
    expect(await bystander.ask("who")).toBe("echo");
  });

  test("cuts a handshake that is not over within timeouts.handshake, be it silent or slow", async () => {
    const certificates = await makeCertificates();
    const weir = await startTls([certificates], {
      config: { timeouts: { ping: "off", handshake: "1s" } },
    });
    const { port } = new URL(weir.httpUrl);
    const slow = connectTcp(Number(port), "127.0.0.1");
    onCleanup("a slow client", () => void slow.destroy());
    slow.on("error", () => {});
    slow.write(Buffer.from("16", "hex"));
    const trickle = setInterval(() => slow.write(Buffer.from("03", "hex")), 50);
    onCleanup("the trickle", () => clearInterval(trickle));
    const silent = await connectRaw(weir.httpUrl.replace("https", "http"));
    await within("the slow client is cut", once(slow, "close"));
    await silent.untilPeerState("fin").catch(() => silent.untilPeerState("reset"));
    await weir.log.entry(
      "the timeout",
      ({ message, fields }) =>
        message === "TLS handshake failed" && fields["reason"] === "ERR_TLS_HANDSHAKE_TIMEOUT",
    );
    const headless = await connectRaw(weir.httpUrl, { tls: { ca: certificates.ca } });
    expect((await headless.readHead()).status).toBe(408);
  });

  test("delivers what was sent before the backend vanished, then closes with 1012", async () => {
    const certificates = await makeCertificates();
    const server = await startScriptedBackend(accept(), { allowHalfOpen: true });
    const weir = await startTls([certificates], { backend: server.url });
    const { connection: client } = await openRaw(weir.url, { tls: { ca: certificates.ca } });
    const backend = await server.connection(0);
    const payload = Buffer.alloc(2_000_000, 2);
    backend.socket.end(backend.encode({ opcode: opcodes.binary, payload }));
    expect((await client.nextFrame()).payload.equals(payload)).toBe(true);
    expect(await client.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
  });

  test("hands on all that a client sent before it ended its stream, and takes a reset for a loss", async () => {
    const certificates = await makeCertificates();
    const server = await startScriptedBackend(accept(), { allowHalfOpen: true });
    const weir = await startTls([certificates], { backend: server.url });
    const tls = { ca: certificates.ca };
    const { connection: ending } = await openRaw(weir.url, { tls });
    const first = await server.connection(0);
    const frame = ending.encode({ opcode: opcodes.binary, payload: Buffer.alloc(2_000_000, 3) });
    ending.socket.end(frame);
    expect((await first.readToEnd()).equals(frame)).toBe(true);
    const { connection: leaving } = await openRaw(weir.url, { tls });
    const second = await server.connection(1);
    leaving.socket.destroy();
    await second.untilPeerState("fin").catch(() => second.untilPeerState("reset"));
    first.finish();
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  });

  test("ends open TLS clients with 1001 at a shutdown, and those amid a handshake at once", async () => {
    const certificates = await makeCertificates();
    const backend = await startEchoBackend();
    const weir = await startTls([certificates], { backend: backend.url });
    const client = await openClient(weir.url, { ca: certificates.ca });
    const begun = await connectRaw(weir.httpUrl.replace("https", "http"));
    await begun.write(Buffer.from("160301", "hex"));
    const closed = weir.weir.close();
    expect(await client.closed()).toEqual({ code: 1001, reason: "server shutting down" });
    await begun.untilPeerState("fin").catch(() => begun.untilPeerState("reset"));
    await closed;
  });

  test("tells when its certificates expire", async () => {
    const certificates = await makeCertificates();
    const weir = await startTls([certificates]);
    const socket = await handshake(weir, {});
    const seconds = Date.parse(socket.getPeerCertificate().valid_to) / 1_000;
    expect(seconds).toBeGreaterThan(Date.now() / 1_000);
    await untilMetric(weir.adminUrl, seconds, "weir_tls_certificate_expiry_timestamp_seconds", {
      listener: "127.0.0.1:0",
    });
  });
});
