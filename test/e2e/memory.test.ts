// Connections that have come and gone leave nothing in a Weir that runs on: no socket, no slot, no
// memory that grows with their number.
import { readdirSync, readlinkSync } from "node:fs";
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml } from "../support/relay.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";

const { text, binary } = opcodes;
const MIB = 1024 * 1024;

const CONNECTIONS = 2_000;
const AT_ONCE = 100;
/** Between the first half and the second one; a leak of 50 KiB a connection would be as much. */
const MAX_GROWTH_BYTES = 48 * MIB;

/** Every kind of end, in turn. */
const ends: readonly ((client: RawConnection) => Promise<void> | void)[] = [
  (client) => client.sendClose(1000),
  (client) => client.finish(),
  (client) => client.reset(),
  (client) => client.sendFrame({ opcode: 0x3 }),
  (client) => client.sendFrame({ opcode: binary, declaredLength: 2 * MIB }),
  // The backend, a `ws` server, ends these: by 1009 for its own limit, by 1007 for what is no UTF-8.
  (client) => client.sendFrame({ opcode: binary, payload: Buffer.alloc(70_000) }),
  (client) => client.sendFrame({ opcode: text, payload: Buffer.of(0xff) }),
];

test("2000 connections of every kind of end leave no socket, no slot and no memory", async () => {
  const backend = await startEchoBackend({ ws: { maxPayload: 65_536 } });
  const more = "threads: 2\nlimits: { maxMessageSize: 1MiB }\ntimeouts: { close: 50ms, ping: off }";
  const weir = await spawnWeir(relayYaml([backend.url], more));
  const { pid = 0 } = weir.process;
  // One connection first: what is opened once and kept is no leak.
  await live(weir.url, 0);
  await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  const sockets = countSockets(pid);
  const handles = (await scrape(weir.adminUrl)).sum("nodejs_active_handles_total");

  const residentBytes: number[] = [];
  for (const half of [1, 2]) {
    for (let i = 0; i < CONNECTIONS / 2; i += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, k) => live(weir.url, half + i + k)));
    }
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
    await untilMetric(weir.adminUrl, 0, "weir_connections");
    residentBytes.push((await scrape(weir.adminUrl)).sum("process_resident_memory_bytes"));
  }
  await until(`Weir has ${sockets} sockets again`, () => countSockets(pid) <= sockets);
  const metrics = await until(
    "every connection that opened has ended once, all handles are closed",
    async () => {
      const found = await scrape(weir.adminUrl);
      const hasEnded = found.sum("weir_closes_total") === found.sum("weir_upgrades_total", { result: "ok" });
      return hasEnded && found.sum("nodejs_active_handles_total") <= handles && found;
    },
  );
  expect(metrics.sum("weir_closes_total")).toBeGreaterThan(CONNECTIONS / 2);
  expect((residentBytes[1] ?? 0) - (residentBytes[0] ?? 0)).toBeLessThan(MAX_GROWTH_BYTES);
});

/** One connection's life: a message and its echo, and the end that its number says. */
async function live(url: string, number: number): Promise<void> {
  if (number % 10 === 9) return leaveEarly(url);
  const { connection } = await openRaw(url);
  await connection.sendText("hello");
  expect(await connection.nextText()).toBe("hello");
  await ends[number % ends.length]?.(connection);
  await connection.untilClosed();
}

async function leaveEarly(url: string): Promise<void> {
  const connection = await connectRaw(url);
  await connection.write(upgradeRequest());
  connection.reset();
}

/** Of all threads of a process, where the system tells; 0 elsewhere. */
function countSockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).filter((name) => isSocket(`${folder}/${name}`)).length;
  } catch {
    return 0;
  }
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(descriptor).startsWith("socket:");
  } catch {
    return false;
  }
}
