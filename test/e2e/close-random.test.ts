// Connections that are cut, closed and broken at random moments, handshake included: whatever happens,
// nothing of them is left.
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { encodeFrame, opcodes } from "../support/frames.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml } from "../support/relay.ts";
import { acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";

const { text, binary, ping } = opcodes;

/** What one side does next. */
const deed = fc.constantFrom(
  "sends a message",
  "sends a large message",
  "sends half a frame",
  "sends a ping",
  "sends a Close",
  "sends garbage",
  "stops reading",
  "reads again",
  "ends its half",
  "resets",
);

type Deed = typeof deed extends fc.Arbitrary<infer Value> ? Value : never;

/** How far the handshake comes before the deeds begin. */
const stage = fc.constantFrom("half a head", "asked", "accepted", "open", "open", "open");

const connection = fc.record({
  stage,
  deeds: fc.array(fc.record({ by: fc.constantFrom("client", "backend"), deed }), { maxLength: 8 }),
});

test("connections that end in random ways, many at once, leave nothing behind", async () => {
  const accepted = new Map<string, RawConnection>();
  const server = await startScriptedBackend(
    async (backend) => {
      // A peer that resets before it is answered is one of the cases.
      const head = await acceptUpgrade(backend).catch(() => null);
      if (head !== null) accepted.set(head.target, backend);
    },
    { allowHalfOpen: true },
  );
  const yaml = relayYaml(
    [server.url],
    "threads: 2\ntimeouts: { close: 30ms, ping: off }\nlimits: { maxMessageSize: 1MiB }",
  );
  const weir = await startWeir(yaml);
  let serial = 0;
  const live = async ({
    stage,
    deeds,
  }: {
    stage: string;
    deeds: { by: string; deed: Deed }[];
  }): Promise<void> => {
    const path = `/${serial++}`;
    const client = await connectRaw(weir.url, { allowHalfOpen: true });
    const head = upgradeRequest({ path });
    await client.write(stage === "half a head" ? head.slice(0, 40) : head);
    if (stage === "accepted") await client.untilReceivedBytes(1);
    if (stage === "open") await client.readHead();
    for (const { by, deed } of deeds) {
      const side = by === "client" ? client : accepted.get(path);
      if (side !== undefined) await perform(side, deed);
    }
    cut(client);
  };
  const property = fc.asyncProperty(
    fc.array(connection, { minLength: 1, maxLength: 12 }),
    async (connections) => {
      await Promise.all(connections.map(live));
      await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
      await untilMetric(weir.adminUrl, 0, "weir_connections");
    },
  );
  await fc.assert(property, { numRuns: 25 });

  // An upgrade whose client is gone already may be under way still.
  await until("each connection that opened has ended once", async () => {
    const metrics = await scrape(weir.adminUrl);
    const opened = metrics.sum("weir_upgrades_total", { result: "ok" });
    const ended = ["weir_closes_total", "weir_connection_duration_seconds_count"];
    return ended.every((name) => metrics.sum(name) === opened);
  });
  expect(weir.log.entries.filter(({ level }) => level === "error")).toEqual([]);
  expect(weir.weir.workers.restarts).toBe(0);
});

async function perform(side: RawConnection, deed: Deed): Promise<void> {
  const frame = side.encode({ opcode: text, payload: "a message" });
  // The other side may have ended the socket: that a write then fails is no news.
  const write = (bytes: Buffer): Promise<void> =>
    side.socket.writable ? side.write(bytes).catch(() => {}) : Promise.resolve();
  switch (deed) {
    case "sends a message":
      return write(frame);
    case "sends a large message":
      // Not awaited: a peer that does not read would hold it back for ever.
      return void write(side.encode({ opcode: binary, payload: Buffer.alloc(900_000) }));
    case "sends half a frame":
      return write(frame.subarray(0, frame.length - 4));
    case "sends a ping":
      return write(side.encode({ opcode: ping, payload: "ping" }));
    case "sends a Close":
      return write(side.encode({ opcode: opcodes.close, payload: Buffer.of(0x03, 0xe8) }));
    case "sends garbage":
      return write(encodeFrame({ opcode: 0x7, rsv: 7, payload: "garbage" }));
    case "stops reading":
      return side.pause();
    case "reads again":
      return side.resume();
    case "ends its half":
      return side.finish();
    case "resets":
      return cut(side);
    default:
      return deed satisfies never;
  }
}

/** With a RST where Node can: a socket that has sent its FIN cannot send one any more, and is closed. */
function cut({ socket }: RawConnection): void {
  if (socket.writable) socket.resetAndDestroy();
  else socket.destroy();
}
