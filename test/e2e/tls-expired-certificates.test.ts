// Certificates of clients that come to their end after a whole handshake, which is the only time when OpenSSL looks
// at the clock. Time passes for Weir alone.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { certificateField } from "../../src/data-plane/client-certificate.ts";
import { Entrance } from "../../src/data-plane/entrance.ts";
import { ListenersSettings } from "../../src/data-plane/listener-settings.ts";
import { makeAuthority, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { isMissing } from "../support/requirement.ts";
import { within } from "../support/until.ts";

const DAY_MS = 86_400_000;

function setClockAhead(byMs: number): void {
  const realNow = Date.now.bind(Date);
  const spy = vi.spyOn(Date, "now").mockImplementation(() => realNow() + byMs);
  onCleanup("the clock", () => spy.mockRestore());
}

/** An entrance that greets who passes, and a client's certificate. */
async function startEntrance(clientCert: "optional" | "required") {
  const { file, sign } = await makeAuthority();
  const { cert, key } = (await sign()).files;
  const ann = await sign({ subject: "/CN=ann", days: 1 });
  const tls = { certificates: [{ cert, key }], clientCa: file, clientCert };
  const loaded = parseConfig({
    listeners: [{ bind: ":1", tls }],
    pools: { chat: { backends: ["ws://a:1"] } },
  });
  if (!loaded.ok) throw new Error("the configuration is wrong");
  const settings = new ListenersSettings(Buffer.alloc(48, 1));
  settings.use(settings.prepare(loaded.config, readFileSync));
  const passed: Socket[] = [];
  const reasons: unknown[] = [];
  const entrance = new Entrance({
    reporter: { log: (_level, _message, fields) => void reasons.push(fields?.["reason"]) },
    onPassed: (socket) => {
      passed.push(socket);
      socket.write("hello");
    },
  });
  entrance.configure(settings.of(0).entrance);
  const listening = createServer((socket) => entrance.enter(socket));
  await once(listening.listen(0, "127.0.0.1"), "listening");
  onCleanup("an entrance", () => void listening.close());
  const { port } = listening.address() as AddressInfo;
  return { entrance, passed, reasons, port, ann: { cert: ann.cert, key: ann.key } };
}

/** The session of a client that was greeted; null: it was cut off. */
async function shake(port: number, options: ConnectionOptions): Promise<Buffer | null> {
  const socket: TLSSocket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  onCleanup("a client", () => void socket.destroy());
  const { promise, resolve } = Promise.withResolvers<Buffer | null>();
  let session = options.session ?? null;
  socket.on("session", (ticket: Buffer) => (session = ticket));
  socket.on("data", () => resolve(session));
  socket.on("error", () => {});
  socket.on("close", () => resolve(null));
  return within("a greeting or the end", promise);
}

describe.skipIf(isMissing(openssl))("a client certificate that has come to its end", () => {
  test.each([
    ["optional", "TLSv1.2"],
    ["optional", "TLSv1.3"],
    ["required", "TLSv1.2"],
    ["required", "TLSv1.3"],
  ] as const)("lets nobody in with a resumed session (%s, %s)", async (clientCert, version) => {
    const { passed, reasons, port, ann } = await startEntrance(clientCert);
    const versions = { minVersion: version, maxVersion: version };
    const session = await shake(port, { ...versions, ...ann });
    if (session === null) throw new Error("the first handshake failed");
    expect(await shake(port, { ...versions, session })).not.toBeNull();
    expect(passed.map((socket) => certificateField(socket, "cn"))).toEqual(["ann", "ann"]);

    setClockAhead(DAY_MS + 1000);
    expect(await shake(port, { ...versions, session })).toBeNull();
    expect(passed).toHaveLength(2);
    expect(reasons).toEqual(["CERT_HAS_EXPIRED"]);
  });

  test("outdates the sockets that it has let in, and no others", async () => {
    const { entrance, passed, port, ann } = await startEntrance("optional");
    await shake(port, ann);
    await shake(port, {});
    expect(passed.map((socket) => entrance.isOutdated(socket))).toEqual([false, false]);
    setClockAhead(DAY_MS + 1000);
    expect(passed.map((socket) => entrance.isOutdated(socket))).toEqual([true, false]);
  });
});
