// Certificates of clients: who is let in by them, who they say that a client is, and the ways around them.
import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { describe, expect, test } from "vitest";

import { makeAuthority, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { within } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

type Shown = Pick<ConnectionOptions, "cert" | "key" | "session" | "minVersion" | "maxVersion">;

interface Started extends StartedWeir {
  readonly backend: EchoBackend;
  readonly ca: string;
  readonly sign: Awaited<ReturnType<typeof makeAuthority>>["sign"];
}

/** Weir whose clients show certificates of an authority that is also its own; the user is their `field`. */
async function start(clientCert: "required" | "optional"): Promise<Started> {
  const { ca, file, sign } = await makeAuthority();
  const backend = await startEchoBackend();
  const [first, other] = [await sign(), await sign({ names: "DNS:other.test" })];
  const certificates = [first, other].map(({ files: { cert, key } }) => ({ cert, key }));
  const tls = { certificates, clientCa: file, clientCert };
  const weir = await startInFrontOf(backend.url, {
    config: {
      listeners: [{ bind: "127.0.0.1:0", tls }],
      identity: { user: [{ certificate: "cn" }, { header: "x-user-id" }] },
    },
  });
  return Object.assign(weir, { backend, ca, sign });
}

/** The user that the backend is told of. */
async function userOf({ url, backend, ca }: Started, shown: Shown = {}): Promise<unknown> {
  const client = await openClient(url, { ...shown, ca, headers: { "X-Weir-User": "forged" } });
  client.socket.terminate();
  return backend.upgrades.at(-1)?.headers["x-weir-user"];
}

/** Shakes hands, and says whether Weir lets it go on: then it waits for a request. */
async function isLetIn({ httpUrl }: StartedWeir, options: ConnectionOptions): Promise<boolean> {
  const { port } = new URL(httpUrl);
  const socket = connect({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false, ...options });
  onCleanup("a TLS client", () => void socket.destroy());
  socket.on("error", () => {});
  socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once("data", () => resolve(true));
  socket.once("close", () => resolve(false));
  return within("an answer or an end", promise);
}

async function sessionOf(socket: TLSSocket): Promise<Buffer> {
  const [session] = (await within("a session", once(socket, "session"))) as [Buffer];
  return session;
}

describe.skipIf(isMissing(openssl))("clientCert: required", () => {
  test("lets in who shows a certificate of clientCa, as the user that it names", async () => {
    const weir = await start("required");
    const { cert, key } = await weir.sign({ subject: "/CN=ann" });
    expect(await userOf(weir, { cert, key })).toBe("ann");
  });

  test("lets in nobody else: without one, of another authority, self-signed, expired, under another name", async () => {
    const weir = await start("required");
    const stranger = await makeAuthority();
    const foreign = await stranger.sign({ subject: "/CN=ann" });
    const expired = await weir.sign({ subject: "/CN=ann", days: -1 });
    const attempts: Record<string, ConnectionOptions> = {
      "no certificate": {},
      "no certificate, another name": { servername: "other.test" },
      "another authority's": { cert: foreign.cert, key: foreign.key },
      "another authority's, another name": {
        cert: foreign.cert,
        key: foreign.key,
        servername: "other.test",
      },
      "another authority's with its chain": { cert: foreign.cert + foreign.ca, key: foreign.key },
      "an expired one": { cert: expired.cert, key: expired.key },
    };
    for (const [what, options] of Object.entries(attempts)) {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const entered = await isLetIn(weir, { ...options, maxVersion });
        expect.soft({ what, maxVersion, entered }).toEqual({ what, maxVersion, entered: false });
      }
    }
    const { cert, key } = await weir.sign();
    expect(await isLetIn(weir, { cert, key, servername: "other.test" })).toBe(true);
    await weir.log.entry("the expired one", ({ fields }) => fields["reason"] === "CERT_HAS_EXPIRED");
    expect(weir.backend.requests).toHaveLength(1);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("knows the user of a resumed %s session", async (version) => {
    const weir = await start("required");
    const { cert, key } = await weir.sign({ subject: "/CN=ann" });
    const versions = { minVersion: version, maxVersion: version };
    const { port } = new URL(weir.httpUrl);
    const first = connect({ host: "127.0.0.1", port: Number(port), ca: weir.ca, cert, key, ...versions });
    onCleanup("a TLS client", () => void first.destroy());
    const session = await sessionOf(first);
    // Without a certificate of its own: the session is what it has.
    const resumed = { session, ...versions };
    expect(await userOf(weir, resumed)).toBe("ann");
  });
});

describe.skipIf(isMissing(openssl))("clientCert: optional", () => {
  test("takes the user from a certificate, and lets in who has none", async () => {
    const weir = await start("optional");
    const { cert, key } = await weir.sign({ subject: "/CN=ann" });
    expect(await userOf(weir, { cert, key })).toBe("ann");
    expect(await userOf(weir)).toBe("ip:127.0.0.1");
  });

  test("refuses a bad one all the same", async () => {
    const weir = await start("optional");
    const foreign = await (await makeAuthority()).sign({ subject: "/CN=ann" });
    expect(await isLetIn(weir, { cert: foreign.cert, key: foreign.key })).toBe(false);
    await weir.log.entry("what was wrong", ({ message }) => message === "TLS handshake failed");
  });

  test("believes no header in place of a certificate", async () => {
    const weir = await start("optional");
    const headers = ["x-client-cert", "x-ssl-client-cn", "x-forwarded-client-cert", "x-certificate-cn"];
    const forged = Object.fromEntries(headers.map((name) => [name, "ann"]));
    const client = await openClient(weir.url, { ca: weir.ca, headers: forged });
    expect(weir.backend.upgrades[0]?.headers["x-weir-user"]).toBe("ip:127.0.0.1");
    client.socket.terminate();
  });
});
