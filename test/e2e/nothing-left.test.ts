// Connections of every kind of end leave nothing behind: asked of each thread of the process, of the system, and
// of Weir's own figures. The bench row `ends` does the same with 100 000.
import { expect, test } from "vitest";

import { EndsBackend, endsConfig, KINDS_OF_END, runEnds } from "../../bench/load/ends.ts";
import { excessOf, type ProcessResources } from "../../bench/load/process-resources.ts";
import { onCleanup } from "../support/cleanup.ts";
import { scrape } from "../support/metrics.ts";
import { type SpawnedWeir, spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";

const PRELOADED = new URL("../../bench/load/resources.ts", import.meta.url);
const THREADS = 2;
const CONNECTIONS = 3_000;
const PARALLEL = 100;

test("after thousands of connections of every kind of end no socket, timer, bucket or grant is left", async () => {
  const backend = await EndsBackend.listen();
  onCleanup("the backend", () => backend.close());
  const config = {
    threads: THREADS,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    log: { access: false },
    ...endsConfig(backend.port),
  };
  const weir = await spawnWeir(JSON.stringify(config), {
    env: { NODE_OPTIONS: `--import=${PRELOADED.href}`, WEIR_RESOURCES_OF: `${THREADS}` },
  });
  const port = Number(new URL(weir.httpUrl).port);
  // What is made once and kept is there after these.
  await runEnds(port, 10, PARALLEL);
  const before = await settled(weir, (resources) => resources.buckets === 0);
  await runEnds(port, Math.ceil(CONNECTIONS / KINDS_OF_END), PARALLEL);
  const after = await settled(weir, (resources) => excessOf(resources, before).length === 0);
  expect(excessOf(after, before)).toEqual([]);
  const workers = after.threads.filter(({ thread }) => thread !== 0);
  const none = { Connection: 0, Pipe: 0, PendingClient: 0 };
  expect(workers.map(({ objects }) => objects)).toEqual(Array.from({ length: THREADS }, () => none));
  const figures = await scrape(weir.adminUrl);
  for (const family of ["weir_connections", "weir_users", "weir_backend_connections", "weir_queue_length"]) {
    expect([family, figures.sum(family)]).toEqual([family, 0]);
  }
  expect(figures.sum("weir_closes_total")).toBeGreaterThan(CONNECTIONS / 2);
  weir.signal("SIGTERM");
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
}, 90_000);

/** What the process holds, once it is as it should be, or as it was at last. */
async function settled(
  weir: SpawnedWeir,
  isSettled: (resources: ProcessResources) => boolean,
): Promise<ProcessResources> {
  let last: ProcessResources | undefined;
  // As long as it takes a starved machine to collect the garbage of all threads a few times.
  const deadlineMs = 20_000;
  await until("nothing is left", async () => isSettled((last = await askForResources(weir))), {
    deadlineMs,
  }).catch(() => {});
  if (last === undefined) throw new Error("the process did not say what it holds");
  return last;
}

async function askForResources(weir: SpawnedWeir): Promise<ProcessResources> {
  const lines = (): string[] => weir.stderr.split("\n").filter((line) => line.startsWith('{"number"'));
  const known = lines().length;
  weir.signal("SIGUSR2");
  const line = await until("what the process holds", () => lines()[known]);
  return JSON.parse(line) as ProcessResources;
}
