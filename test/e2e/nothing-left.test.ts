// Connections of every kind of end leave nothing behind: asked of each thread of the process, of the system, and
// of Weir's own figures. The bench row `left` does the same with 100 000.
import { expect, test } from "vitest";

import { EndsBackend } from "../../bench/load/ends-backend.ts";
import { endsConfig, runEnds } from "../../bench/load/ends.ts";
import { excessOf } from "../../bench/load/process-resources.ts";
import { onCleanup } from "../support/cleanup.ts";
import { scrape } from "../support/metrics.ts";
import { settledResources, tellingResources } from "../support/resources.ts";
import { spawnWeir } from "../support/spawn-weir.ts";

const THREADS = 2;
const PER_KIND = 80;
const PARALLEL = 100;
const WARM_UP_PER_KIND = 10;

/** Kinds of end by what they can only be counted as. */
const KINDS_BY_REASON = {
  backend_draining: 2,
  admin: 3,
  idle: 1,
  too_big: 1,
  rate: 1,
  protocol_error: 1,
} as const;
const KINDS_BY_RESULT = { backend_refused: 1, backend_timeout: 1, backend_failed: 1, no_route: 1 } as const;

test("after thousands of connections of every kind of end no socket, timer, listener, bucket or grant is left", async () => {
  const backend = await EndsBackend.listen();
  onCleanup("the backend", () => backend.close());
  const config = {
    threads: THREADS,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    log: { access: false },
    ...endsConfig(backend.port),
  };
  const weir = await spawnWeir(JSON.stringify(config), { env: tellingResources(THREADS) });
  const ends = { port: portOf(weir.httpUrl), adminPort: portOf(weir.adminUrl), parallel: PARALLEL };
  // What is made once and kept is there after these.
  await runEnds({ ...ends, perKind: WARM_UP_PER_KIND });
  const before = await settledResources(weir, (resources) => resources.buckets === 0);
  await runEnds({ ...ends, perKind: PER_KIND });
  const after = await settledResources(weir, (resources) => excessOf(resources, before).length === 0);
  expect(excessOf(after, before)).toEqual([]);
  expect(after.grants).toBe(0);
  const workers = after.threads.filter(({ thread }) => thread !== 0);
  expect(workers.map(({ objects }) => objects["own"])).toEqual(Array.from({ length: THREADS }, () => 0));
  const figures = await scrape(weir.adminUrl);
  for (const family of ["weir_connections", "weir_users", "weir_backend_connections", "weir_queue_length"]) {
    expect([family, figures.sum(family)]).toEqual([family, 0]);
  }
  // They have ended as they were to, but for those that a starved machine was too slow for.
  const least = PER_KIND / 2;
  const counts = [
    ...Object.entries(KINDS_BY_REASON).map(([reason, kinds]) => ({
      reason,
      isEnough: figures.sum("weir_closes_total", { reason }) > kinds * least,
    })),
    ...Object.entries(KINDS_BY_RESULT).map(([result, kinds]) => ({
      result,
      isEnough: figures.sum("weir_upgrades_total", { result }) > kinds * least,
    })),
  ];
  expect(counts.filter(({ isEnough }) => !isEnough)).toEqual([]);
  expect(weir.stderr).not.toContain("MaxListenersExceededWarning");
  weir.signal("SIGTERM");
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
}, 120_000);

function portOf(url: string): number {
  return Number(new URL(url).port);
}
