// The keys of session tickets on real sockets: whoever has them resumes, and after a change nobody does, but
// everybody gets in.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { connect } from "node:tls";
import { expect, test } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { ListenersSettings } from "../../src/data-plane/listener-settings.ts";
import { makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { isMissing } from "../support/requirement.ts";
import { within } from "../support/until.ts";

/** A listener of one thread, which greets its clients. */
async function startThread(file: { readonly cert: string; readonly key: string }, keys: Buffer) {
  const tls = { certificates: [{ cert: file.cert, key: file.key }] };
  const loaded = parseConfig({
    listeners: [{ bind: ":1", tls }],
    pools: { chat: { backends: ["ws://a:1"] } },
  });
  if (!loaded.ok) throw new Error("the configuration is wrong");
  const settings = new ListenersSettings(keys);
  settings.use(settings.prepare(loaded.config, readFileSync));
  const { entrance } = settings.of(0);
  entrance.tls?.observe({ secured: (socket) => void socket.end("hello"), failed: () => {} });
  const server = createServer((socket) => entrance.tls?.secure(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onCleanup("a thread", () => void server.close());
  return { settings, port: (server.address() as AddressInfo).port };
}

async function shake(port: number, session?: Buffer): Promise<{ session: Buffer; isResumed: boolean }> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...(session && { session }) });
  onCleanup("a client", () => void socket.destroy());
  let latest = session ?? Buffer.alloc(0);
  socket.on("session", (ticket: Buffer) => (latest = ticket));
  socket.resume();
  await within("the end of the greeting", once(socket, "end"));
  return { session: latest, isResumed: socket.isSessionReused() };
}

test.skipIf(isMissing(openssl))(
  "a session is resumed by another thread with the same keys, before and after both have got new ones",
  async () => {
    const { files } = await makeCertificates();
    const keys = Buffer.alloc(48, 1);
    const [one, other] = [await startThread(files, keys), await startThread(files, keys)];
    const stranger = await startThread(files, Buffer.alloc(48, 3));
    const { session } = await shake(one.port);
    expect((await shake(other.port, session)).isResumed).toBe(true);
    expect((await shake(stranger.port, session)).isResumed).toBe(false);
    for (const { settings } of [one, other]) settings.setTicketKeys(Buffer.alloc(48, 2));
    const renewed = await shake(other.port, session);
    expect(renewed.isResumed).toBe(false);
    expect((await shake(one.port, renewed.session)).isResumed).toBe(true);
  },
);
