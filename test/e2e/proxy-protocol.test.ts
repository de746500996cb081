// The PROXY header in front of a listener's connections: whom it names is the client for everything that
// follows, and nobody but a trusted proxy can name anyone.
import { connect as connectTls } from "node:tls";
import { describe, expect, test } from "vitest";

import { buildProxyHeader } from "../../src/proxy-protocol.ts";
import { makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { RawConnection } from "../support/raw-connection.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

type Section = Readonly<Record<string, unknown>>;

interface Started extends StartedWeir {
  readonly backend: EchoBackend;
}

async function start(config: Section = {}, listener: Section = {}): Promise<Started> {
  const backend = await startEchoBackend();
  const listeners = [{ bind: "127.0.0.1:0", proxyProtocol: "on", ...listener }];
  const weir = await startInFrontOf(backend.url, { config: { listeners, ...config } });
  return Object.assign(weir, { backend });
}

const header = "PROXY TCP4 203.0.113.7 198.51.100.1 40000 443\r\n";
const v2 = buildProxyHeader({
  sourceAddress: "2001:db8:1:2:3::9",
  sourcePort: 1,
  destinationAddress: "2001:db8::1",
  destinationPort: 8443,
});

/** The headers that a backend sees of an upgrade behind these bytes. */
async function seenBehind(
  weir: Started,
  bytes: Buffer | string,
  lines: readonly string[] = [],
): Promise<Record<string, unknown>> {
  const connection = await connectRaw(weir.httpUrl);
  await connection.write(Buffer.concat([Buffer.from(bytes), Buffer.from(upgradeRequest({ lines }))]));
  const { status } = await connection.readHead();
  expect(status).toBe(101);
  return weir.backend.upgrades.at(-1)?.headers ?? {};
}

async function isCut(connection: RawConnection): Promise<boolean> {
  await connection.untilPeerState("fin").catch(() => connection.untilPeerState("reset"));
  return connection.receivedBytes === 0;
}

describe("a PROXY header from a trusted proxy", () => {
  test("names the client: for the user, X-Forwarded-For and the port, in version 1 and 2", async () => {
    const weir = await start();
    expect(await seenBehind(weir, header)).toMatchObject({
      "x-weir-user": "ip:203.0.113.7",
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-port": "443",
    });
    expect(await seenBehind(weir, v2)).toMatchObject({
      "x-weir-user": "ip:2001:db8:1:2::/64",
      "x-forwarded-for": "2001:db8:1:2:3::9",
      "x-forwarded-port": "8443",
    });
  });

  test("names the client of plain requests too, of all on one socket", async () => {
    const weir = await start();
    const connection = await connectRaw(weir.httpUrl);
    const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    await connection.write(header + request);
    const first = await connection.readHead();
    await connection.readBytes(Number(first.header("content-length") ?? 0));
    await connection.write(request);
    await connection.readHead();
    expect(weir.backend.requests.map(({ headers }) => headers["x-forwarded-for"])).toEqual([
      "203.0.113.7",
      "203.0.113.7",
    ]);
  });

  test("leaves a client that it names no word about its own address, unless it is a trusted proxy itself", async () => {
    const weir = await start({ trustedProxies: ["loopback", "10.0.0.0/8"] });
    const forged = ["X-Forwarded-For: 192.0.2.66", "X-Real-IP: 192.0.2.66", "Forwarded: for=192.0.2.66"];
    expect(await seenBehind(weir, header, forged)).toMatchObject({
      "x-weir-user": "ip:203.0.113.7",
      "x-forwarded-for": "203.0.113.7",
    });
    const cdn = "PROXY TCP4 10.1.2.3 198.51.100.1 40000 443\r\n";
    expect(await seenBehind(weir, cdn, ["X-Forwarded-For: 192.0.2.66"])).toMatchObject({
      "x-weir-user": "ip:192.0.2.66",
      "x-forwarded-for": "192.0.2.66, 10.1.2.3",
    });
  });

  test("that names an IPv4 address as IPv6 has it names the IPv4 address", async () => {
    const weir = await start({ identity: { user: ["ip"] } });
    for (const spelling of ["::ffff:203.0.113.7", "::FFFF:CB00:7107", "0:0:0:0:0:ffff:cb00:7107"]) {
      const seen = await seenBehind(weir, `PROXY TCP6 ${spelling} ::1 1 2\r\n`);
      expect.soft({ spelling, user: seen["x-weir-user"] }).toEqual({ spelling, user: "ip:203.0.113.7" });
    }
  });

  // What follows it may be anybody's words: who is behind the proxy must not be trusted as the proxy is.
  test("that names nobody leaves the proxy as the client, and what that says of others is not believed", async () => {
    const weir = await start({ identity: { user: [{ header: "x-user-id" }, "ip"] } });
    const forged = ["X-Forwarded-For: 192.0.2.66", "X-User-Id: admin", "X-Request-Id: forged"];
    const unix = Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a213100d8", "hex"), Buffer.alloc(216)]);
    for (const bytes of ["PROXY UNKNOWN\r\n", buildProxyHeader(null), unix]) {
      const seen = await seenBehind(weir, bytes, forged);
      expect(seen).toMatchObject({ "x-weir-user": "ip:127.0.0.1", "x-forwarded-for": "127.0.0.1" });
      expect(seen["x-user-id"]).toBeUndefined();
      expect(seen["x-request-id"]).not.toBe("forged");
    }
  });

  test("may come byte by byte", async () => {
    const weir = await start();
    for (const bytes of [Buffer.from(header), v2]) {
      const connection = await connectRaw(weir.httpUrl);
      await connection.writeByteByByte(bytes);
      await connection.writeByteByByte(upgradeRequest());
      expect((await connection.readHead()).status).toBe(101);
      await connection.sendText("who");
      expect(await connection.nextText()).toBe("echo");
    }
  });

  test("closes the connection without a word where it is malformed, missing, or not whole in time", async () => {
    const [patient, brief] = await Promise.all(
      ["60s", "300ms"].map((handshake) => start({ timeouts: { ping: "off", handshake } })),
    );
    if (patient === undefined || brief === undefined) throw new Error("there are two");
    const attempts: [what: string, weir: Started, bytes: Buffer | string][] = [
      ["no header", patient, upgradeRequest()],
      ["malformed", patient, "PROXY TCP4 203.0.113.7 1 2\r\n"],
      ["never whole", brief, header.slice(0, -2)],
      ["only a part of version 2", brief, v2.subarray(0, 20)],
      ["nothing", brief, ""],
    ];
    for (const [what, weir, bytes] of attempts) {
      const connection = await connectRaw(weir.httpUrl);
      if (bytes.length > 0) await connection.write(bytes);
      expect.soft(await isCut(connection), what).toBe(true);
    }
    const leaving = await connectRaw(patient.httpUrl, { allowHalfOpen: true });
    leaving.finish();
    expect(await isCut(leaving)).toBe(true);
    for (const [weir, reason] of [
      [patient, "does not begin like one"],
      [brief, "it was not whole in time"],
      [patient, "the connection ended before it"],
    ] as const) {
      await weir.log.entry(reason, ({ level, fields }) => level === "info" && fields["reason"] === reason);
    }
    for (const { backend } of [patient, brief]) expect(backend.upgrades).toEqual([]);
  });

  test("may come once: a second one is no request", async () => {
    const weir = await start();
    const connection = await connectRaw(weir.httpUrl);
    await connection.write(`${header}PROXY TCP4 192.0.2.66 198.51.100.1 1 2\r\n${upgradeRequest()}`);
    expect((await connection.readHead()).status).toBe(400);
    await weir.log.entry(
      "the refusal names the client of the first one",
      ({ fields }) => fields["code"] === "bad_request" && fields["address"] === "203.0.113.7",
    );
    expect(weir.backend.upgrades).toEqual([]);
  });
});

describe("a PROXY header on a Unix socket", () => {
  test("is expected, and believed: who can reach the socket is trusted", async () => {
    const bind = `unix:${await temporaryFolder()}/weir.sock`;
    const weir = await start({ trustedProxies: [] }, { bind });
    expect(await seenBehind(weir, header)).toMatchObject({ "x-weir-user": "ip:203.0.113.7" });
    const without = await connectRaw(weir.httpUrl);
    await without.write(upgradeRequest());
    expect(await isCut(without)).toBe(true);
  });
});

describe("a PROXY header from somebody else", () => {
  test("closes the connection, and so does none: nobody gets in past the proxy", async () => {
    const weir = await start({ trustedProxies: ["10.0.0.0/8"] });
    for (const bytes of [header + upgradeRequest(), upgradeRequest()]) {
      const connection = await connectRaw(weir.httpUrl);
      await connection.write(bytes).catch(() => {});
      expect(await isCut(connection)).toBe(true);
    }
    await weir.log.entry(
      "who it was",
      ({ message, fields }) => message === "PROXY header refused" && fields["address"] === "127.0.0.1",
    );
    expect(weir.backend.upgrades).toEqual([]);
  });

  test("is malformed HTTP where no header is expected, also from a trusted proxy", async () => {
    const weir = await start({}, { proxyProtocol: "off" });
    const connection = await connectRaw(weir.httpUrl);
    await connection.write(header + upgradeRequest());
    expect((await connection.readHead()).status).toBe(400);
    expect(weir.backend.upgrades).toEqual([]);
  });
});

describe.skipIf(isMissing(openssl))("a PROXY header before TLS", () => {
  test("names the client, in one packet with the hello or ahead of it; within TLS it is no request", async () => {
    const { files, ca } = await makeCertificates();
    const tls = { certificates: [{ cert: files.cert, key: files.key }] };
    const weir = await start({}, { tls });
    const plain = weir.httpUrl.replace("https", "http");
    for (const isCorked of [true, false]) {
      const { socket: below } = await connectRaw(plain);
      below.removeAllListeners("data");
      if (isCorked) below.cork();
      below.write(header);
      const secure = connectTls({ socket: below, ca, servername: "localhost" });
      onCleanup("a TLS client", () => void secure.destroy());
      if (isCorked) setImmediate(() => below.uncork());
      const connection = new RawConnection(secure, { role: "client" });
      await connection.write(upgradeRequest());
      expect((await connection.readHead()).status).toBe(101);
      expect(weir.backend.upgrades.at(-1)?.headers).toMatchObject({
        "x-weir-user": "ip:203.0.113.7",
        "x-forwarded-proto": "https",
      });
    }
    const secureBehind = async (bytes: string): Promise<RawConnection> => {
      const { socket: below } = await connectRaw(plain);
      below.removeAllListeners("data");
      below.write(bytes);
      const secure = connectTls({ socket: below, ca, servername: "localhost" });
      onCleanup("a TLS client", () => void secure.destroy());
      return new RawConnection(secure, { role: "client" });
    };
    const twice = await secureBehind(header);
    await twice.write(header + upgradeRequest());
    expect((await twice.readHead()).status).toBe(400);
    const nobody = await secureBehind("PROXY UNKNOWN\r\n");
    await nobody.write(upgradeRequest({ lines: ["X-Forwarded-For: 192.0.2.66"] }));
    expect((await nobody.readHead()).status).toBe(101);
    expect(weir.backend.upgrades.at(-1)?.headers).toMatchObject({ "x-weir-user": "ip:127.0.0.1" });
    const garbage = await connectRaw(plain);
    await garbage.write(`${header}GET / HTTP/1.1\r\n\r\n`);
    await garbage.untilPeerState("fin").catch(() => garbage.untilPeerState("reset"));
    await weir.log.entry(
      "the failed handshake names the client",
      ({ message, fields }) => message === "TLS handshake failed" && fields["address"] === "203.0.113.7",
    );
  });
});

describe("proxyProtocol", () => {
  test("can be turned on by a reload, and open connections go on", async () => {
    const weir = await start({}, { proxyProtocol: "off" });
    const before = await openClient(weir.url);
    await weir.weir.reload({
      threads: 1,
      admin: { bind: "127.0.0.1:0" },
      timeouts: { ping: "off" },
      listeners: [{ bind: "127.0.0.1:0", proxyProtocol: "on" }],
      pools: { chat: { healthCheck: "off", backends: [weir.backend.url] } },
    });
    expect(await seenBehind(weir, header)).toMatchObject({ "x-weir-user": "ip:203.0.113.7" });
    expect(await before.ask("who")).toBe("echo");
  });
});
