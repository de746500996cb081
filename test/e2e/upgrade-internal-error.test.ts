// A mistake of Weir's own: no input is known that leads to one, so the data path is run on a real socket
// with a broken part. The client gets a plain 500 or 1011, the log the stack, and the slot comes back.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Socket } from "node:net";
import { expect, test } from "vitest";

import { parseConfig } from "../../src/config/load.ts";
import { AdmissionDesk } from "../../src/data-plane/admission-desk.ts";
import { Connections } from "../../src/data-plane/connections.ts";
import { Reporter } from "../../src/data-plane/reporter.ts";
import { Taps } from "../../src/data-plane/taps.ts";
import { ListenersSettings } from "../../src/data-plane/listener-settings.ts";
import { Settings } from "../../src/data-plane/settings.ts";
import { onUpgrade } from "../../src/data-plane/upgrade.ts";
import { BucketView } from "../../src/shared-memory/bucket-table.ts";
import { BufferedBytesCells } from "../../src/shared-memory/buffered-bytes.ts";
import { SharedClock } from "../../src/shared-memory/clock.ts";
import { Channel, type ToControl } from "../../src/shared-memory/channel.ts";
import { onCleanup } from "../support/cleanup.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { until } from "../support/until.ts";

/** An upgrade path whose admission breaks; returns its address and what it tells the control plane. */
async function startBrokenPath(rejectWith: "http" | "close"): Promise<{ url: string; posted: ToControl[] }> {
  const posted: ToControl[] = [];
  const channel = new Channel<ToControl>({ postMessage: (batch) => posted.push(...(batch as ToControl[])) });
  const loaded = parseConfig({
    listeners: ["127.0.0.1:0"],
    limits: { rejectWith },
    pools: { chat: { backends: ["ws://a:1"] } },
  });
  if (!loaded.ok) throw new Error("the configuration is wrong");
  const settings = new Settings(loaded.config);
  const desk = new AdmissionDesk(channel);
  desk.admit = () => Promise.reject(new TypeError("a mistake of ours, with a secret in it"));
  const reporter = new Reporter(channel, () => true);
  const connections = new Connections({
    desk,
    reporter,
    taps: new Taps(channel),
    settings: () => settings,
    cells: new Float64Array(0),
    buckets: new BucketView(),
    activity: new Float64Array(0),
    buffered: new BufferedBytesCells(new SharedArrayBuffer(0), 0),
    clock: new SharedClock(),
    phase: 0,
  });
  const listeners = new ListenersSettings(Buffer.alloc(48));
  listeners.use(listeners.prepare(loaded.config, readFileSync));
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    if (!(socket instanceof Socket)) throw new Error("not a socket");
    void onUpgrade(
      {
        settings: () => settings,
        desk,
        connections,
        pending: new Set(),
        reporter,
        sockets: { onRefused: () => {} },
        listener: () => listeners.of(0),
        localPort: () => 0,
      },
      request,
      socket,
      head,
    );
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  onCleanup("the broken path", () => void server.close());
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `ws://127.0.0.1:${port}`, posted };
}

test("an unexpected error is answered 500 internal, without its words, and logged with its stack", async () => {
  const { url, posted } = await startBrokenPath("http");
  const { status, code, message } = await refusalOf(url, upgradeRequest());
  expect([status, code, message]).toEqual([500, "internal", "internal error"]);
  const line = await until("the log line", () => posted.find(({ type }) => type === "log"));
  expect(line).toMatchObject({ level: "error", message: "upgrade refused", fields: { code: "internal" } });
  expect(JSON.stringify(line)).toContain("TypeError: a mistake of ours");
  expect(posted).toContainEqual({ type: "upgrade-refused", pool: "chat", code: "internal", status: 500 });
});

test("under rejectWith: close it is closed with 1011 internal", async () => {
  const { url, posted } = await startBrokenPath("close");
  const { connection } = await openRaw(url, { allowHalfOpen: true });
  expect(await connection.nextClose()).toEqual({ code: 1011, reason: "internal" });
  await connection.sendClose(1011);
  expect(await connection.readToEnd()).toHaveLength(0);
  await until("the log line", () => posted.find(({ type }) => type === "log"));
});
