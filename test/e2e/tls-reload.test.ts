// Certificates that change while Weir runs, and sessions that are resumed: on whichever thread, and never past
// a change of what clients must show.
import { copyFile, mkdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { describe, expect, test, vi } from "vitest";

import { makeAuthority, openssl } from "../support/certificates.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { isMissing } from "../support/requirement.ts";
import { spawnMain } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until, within } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

interface Handshake {
  readonly session: Buffer;
  readonly isResumed: boolean;
  /** Common name of Weir's certificate; undefined in a resumed session. */
  readonly name: unknown;
}

/** One handshake and a request, which Weir must answer: by then the client has its session. */
async function shake(url: string, options: ConnectionOptions = {}): Promise<Handshake> {
  const { port } = new URL(url);
  const socket: TLSSocket = connect({
    host: "127.0.0.1",
    port: Number(port),
    rejectUnauthorized: false,
    ...options,
  });
  onCleanup("a TLS client", () => void socket.destroy());
  let session = options.session;
  socket.on("session", (ticket: Buffer) => (session = ticket));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("closed without an answer")));
  socket.on("data", () => resolve());
  socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  await within("an answer", promise);
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  const isResumed = socket.isSessionReused();
  socket.destroy();
  return { session: session ?? Buffer.alloc(0), isResumed, name };
}

describe.skipIf(isMissing(openssl))("certificate files that change", () => {
  test("are taken over within a moment, without an end of open connections; a key that does not fit is not", async () => {
    const { ca, sign } = await makeAuthority();
    const folder = await temporaryFolder();
    const [old, young, foreign] = [
      await sign({ subject: "/CN=old" }),
      await sign({ subject: "/CN=young" }),
      await sign(),
    ];
    const [cert, key] = [join(folder, "a.crt"), join(folder, "a.key")];
    await copyFile(old.files.cert, cert);
    await copyFile(old.files.key, key);
    const backend = await startEchoBackend();
    const file = join(folder, "weir.yaml");
    await writeFile(
      file,
      `listeners: [{ bind: "127.0.0.1:0", tls: { certificates: [{ cert: a.crt, key: a.key }] } }]
admin: off
threads: 2
reload: { settle: 50ms }
pools: { chat: { healthCheck: off, backends: ["${backend.url}"] } }
`,
    );
    const weir = spawnMain(["run", "--config", file]);
    const url = (await weir.untilPrinted(/listening on (https:\S+)/))[1] ?? "";
    const client = await openClient(url.replace("https", "wss"), { ca });
    const served = async (): Promise<unknown> => (await shake(url)).name;
    expect(await served()).toBe("old");

    await copyFile(foreign.files.key, key);
    await weir.untilPrinted(/a\.key: is not the key of|tls\.certificates\[0\]\.key: is not the key of/);
    await weir.untilPrinted(/reload failed; nothing was changed/);
    expect(await served()).toBe("old");

    await writeFile(cert, "garbage");
    await weir.untilPrinted(/holds no certificate in PEM format/);
    expect(await served()).toBe("old");

    await copyFile(young.files.cert, cert);
    await copyFile(young.files.key, key);
    await until("the new certificate is served", async () => (await served()) === "young");
    expect(await client.ask("who")).toBe("echo");
    expect(await (await openClient(url.replace("https", "wss"), { ca })).ask("who")).toBe("echo");
  });

  test("are taken over when Kubernetes swaps the symlink that all of them are reached by", async () => {
    const { sign } = await makeAuthority();
    const folder = await temporaryFolder();
    const mount = async (version: string): Promise<void> => {
      const { files } = await sign({ subject: `/CN=${version}` });
      await mkdir(join(folder, `..${version}`));
      await copyFile(files.cert, join(folder, `..${version}`, "tls.crt"));
      await copyFile(files.key, join(folder, `..${version}`, "tls.key"));
      await symlink(`..${version}`, join(folder, "..data_tmp"));
      await rename(join(folder, "..data_tmp"), join(folder, "..data"));
    };
    await mount("old");
    for (const name of ["tls.crt", "tls.key"]) {
      await symlink(join("..data", name), join(folder, name));
    }
    const file = join(await temporaryFolder(), "weir.yaml");
    const certificate = { cert: join(folder, "tls.crt"), key: join(folder, "tls.key") };
    const listener = { bind: "127.0.0.1:0", tls: { certificates: [certificate] } };
    const pools = { chat: { healthCheck: "off", backends: ["ws://127.0.0.1:1"] } };
    const reload = { settle: "50ms" };
    await writeFile(file, JSON.stringify({ listeners: [listener], admin: "off", threads: 1, reload, pools }));
    const weir = spawnMain(["run", "--config", file]);
    const url = (await weir.untilPrinted(/listening on (https:\S+)/))[1] ?? "";
    expect((await shake(url)).name).toBe("old");
    for (const version of ["young", "younger"]) {
      await mount(version);
      await until(`${version} is served`, async () => (await shake(url)).name === version);
    }
  });

  test("stay as they were for a thread that starts again after they have become unusable", async () => {
    const { sign } = await makeAuthority();
    const { files, ca } = await sign({ subject: "/CN=old" });
    const listeners = [
      { bind: "127.0.0.1:0", tls: { certificates: [{ cert: files.cert, key: files.key }] } },
    ];
    const weir = await startInFrontOf((await startEchoBackend()).url, { config: { listeners } });
    await writeFile(files.cert, "garbage");
    await weir.weir.workers.kill(0);
    await weir.log.entry("the new thread", ({ message }) => message === "worker thread serves again");
    expect(await (await openClient(weir.url, { ca })).ask("who")).toBe("echo");
  });

  test("can go and come with a reload: the same address with TLS and without", async () => {
    const { files, ca } = await (await makeAuthority()).sign();
    const { url } = await startEchoBackend();
    const secure = {
      bind: "127.0.0.1:0",
      tls: { certificates: [{ cert: files.cert, key: files.key }] },
    };
    const config = (listener: unknown) => ({
      listeners: [listener],
      threads: 1,
      admin: "off",
      pools: { chat: { healthCheck: "off", backends: [url] } },
    });
    const weir = await startInFrontOf(url, { config: { listeners: [secure], admin: "off" } });
    const before = await openClient(weir.url, { ca });
    await weir.weir.reload(config("127.0.0.1:0"));
    const plain = await openClient(weir.url.replace("wss", "ws"));
    await weir.weir.reload(config(secure));
    const after = await openClient(weir.url, { ca });
    for (const client of [before, plain, after]) expect(await client.ask("who")).toBe("echo");
  });
});

describe.skipIf(isMissing(openssl))("a TLS session", () => {
  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "of %s is resumed whichever thread accepts, also by one that was started again, and after a reload",
    async (version) => {
      const { sign } = await makeAuthority();
      const [first, other] = [await sign(), await sign({ names: "DNS:other.test" })];
      const certificates = [first, other].map(({ files: { cert, key } }) => ({ cert, key }));
      const listeners = [{ bind: "127.0.0.1:0", tls: { certificates } }];
      const weir = await startInFrontOf("ws://127.0.0.1:1", { config: { listeners, threads: 3 } });
      const versions = { minVersion: version, maxVersion: version };
      // The kernel spreads them over the threads by their ports.
      for (const servername of ["localhost", "other.test"]) {
        const { session } = await shake(weir.httpUrl, { ...versions, servername });
        for (let i = 0; i < 12; i++) {
          const again = await shake(weir.httpUrl, { ...versions, servername, session });
          expect(again.isResumed).toBe(true);
        }
      }
      const { session } = await shake(weir.httpUrl, versions);
      for (const index of [0, 1, 2]) await weir.weir.workers.kill(index);
      await until("all threads serve again", () => {
        const serving = weir.log.entries.filter(({ message }) => message === "worker thread serves again");
        return serving.length === 3;
      });
      await weir.weir.reload(weir.weir.config);
      for (let i = 0; i < 6; i++) {
        expect((await shake(weir.httpUrl, { ...versions, session })).isResumed).toBe(true);
      }
    },
  );

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "of %s that was opened with a certificate is worth nothing at another listener, nor once clientCa has changed",
    async (version) => {
      const [authority, other] = [await makeAuthority(), await makeAuthority()];
      const { files } = await authority.sign();
      const { cert, key } = await authority.sign({ subject: "/CN=ann" });
      const clientCa = join(await temporaryFolder(), "clients.crt");
      await copyFile(authority.file, clientCa);
      const tls = { certificates: [{ cert: files.cert, key: files.key }] };
      const strict = { ...tls, clientCa, clientCert: "required" };
      const listeners = [
        { bind: "127.0.0.1:0", tls: strict },
        { bind: "127.0.0.1:0", tls: { ...strict, clientCa: other.file } },
        { bind: "127.0.0.1:0", tls },
      ];
      const weir = await startInFrontOf("ws://127.0.0.1:1", { config: { listeners } });
      const [url = "", elsewhere = "", open = ""] = weir.weir.addresses.listeners;
      const versions = { minVersion: version, maxVersion: version };
      const { session } = await shake(url, { ...versions, cert, key });
      expect((await shake(url, { ...versions, session })).isResumed).toBe(true);
      await expect(shake(elsewhere, { ...versions, session })).rejects.toThrow(/alert|closed|reset/i);
      const without = await shake(open, versions);
      await expect(shake(url, { ...versions, session: without.session })).rejects.toThrow(
        /alert|closed|reset/i,
      );

      await copyFile(other.file, clientCa);
      await weir.weir.reload({ ...startedWith, listeners });
      await expect(shake(url, { ...versions, session })).rejects.toThrow(/alert|closed|reset/i);
    },
  );

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "of %s that was opened without a certificate is worth nothing once one is required, and who has one gets in",
    async (version) => {
      const authority = await makeAuthority();
      const { files } = await authority.sign();
      const { cert, key } = await authority.sign({ subject: "/CN=ann" });
      const certificates = [{ cert: files.cert, key: files.key }];
      const listenersWith = (clientCert: string) => [
        { bind: "127.0.0.1:0", tls: { certificates, clientCa: authority.file, clientCert } },
      ];
      const weir = await startInFrontOf("ws://127.0.0.1:1", {
        config: { listeners: listenersWith("optional") },
      });
      const [url = ""] = weir.weir.addresses.listeners;
      const versions = { minVersion: version, maxVersion: version };
      const { session } = await shake(url, versions);
      expect((await shake(url, { ...versions, session })).isResumed).toBe(true);

      await weir.weir.reload({ ...startedWith, listeners: listenersWith("required") });
      const refused = /alert|closed|reset/i;
      await expect(shake(url, { ...versions, session })).rejects.toThrow(refused);
      await expect(shake(url, versions)).rejects.toThrow(refused);
      expect((await shake(url, { ...versions, cert, key, session })).isResumed).toBe(false);
    },
  );

  test("is resumed by every thread with new keys once an hour is over, also by one that starts then, and no old one is", async () => {
    const timers = vi.spyOn(globalThis, "setInterval");
    onCleanup("the timers", () => timers.mockRestore());
    const { files } = await (await makeAuthority()).sign();
    const listeners = [
      { bind: "127.0.0.1:0", tls: { certificates: [{ cert: files.cert, key: files.key }] } },
    ];
    const weir = await startInFrontOf("ws://127.0.0.1:1", { config: { listeners, threads: 3 } });
    const { session } = await shake(weir.httpUrl);
    expect((await shake(weir.httpUrl, { session })).isResumed).toBe(true);

    const hourly = timers.mock.calls.filter(([, ms]) => ms === 3_600_000);
    expect(hourly).toHaveLength(1);
    hourly[0]?.[0]();
    // A reload is over when every thread has answered it, and so has read what was sent before.
    await weir.weir.reload(weir.weir.config);
    await weir.weir.workers.kill(0);
    await weir.log.entry("the new thread", ({ message }) => message === "worker thread serves again");
    const renewed = await shake(weir.httpUrl);
    // The kernel spreads them over the threads by their ports.
    for (let i = 0; i < 12; i++) {
      expect((await shake(weir.httpUrl, { session: renewed.session })).isResumed).toBe(true);
      expect((await shake(weir.httpUrl, { session })).isResumed).toBe(false);
    }
  });

  const startedWith = {
    threads: 1,
    admin: { bind: "127.0.0.1:0" },
    pools: { chat: { healthCheck: "off", backends: ["ws://127.0.0.1:1"] } },
  };
});
