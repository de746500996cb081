// What a scrape of the metrics costs the main thread, with many backends and connections, and whether new
// connections wait for it.

import { setTimeout as sleep } from "node:timers/promises";
import type { LoadReport } from "../load/commands.ts";
import { weirWith } from "../peers/weir.ts";
import { Rig } from "./rig.ts";
import type { Sample, Scale, SoloRow } from "./row.ts";

const BACKENDS = 1_000;
const CONNECTIONS = 9_000;
const SCRAPES = 40;
const SCRAPE_EVERY_MS = 100;
/** One after the other: what is looked for is a wait for the main thread, not a queue. */
const UPGRADES_AT_A_TIME = 1;
const ENDLESS = 100_000_000;
const NS_PER_MS = 1e6;

export const SCRAPE_ROWS: readonly SoloRow[] = [
  {
    name: "scrape",
    title: "Scrapes of the metrics, 1 000 backends and 9 000 connections",
    metrics: [
      { key: "mainMs", title: "main thread, ms of CPU each", isCompared: false },
      { key: "scrapeMs", title: "ms until answered", isCompared: false },
      { key: "kib", title: "KiB", isCompared: false },
      { key: "beforeP99Ms", title: "p99 of upgrades in ms, no scrape", isCompared: false },
      { key: "duringP99Ms", title: "with scrapes", isCompared: false },
      { key: "beforeMaxMs", title: "slowest upgrade in ms, no scrape", isCompared: false },
      { key: "duringMaxMs", title: "with scrapes", isCompared: false },
      { key: "addedMs", title: "added", isCompared: false },
      { key: "waitedMs", title: "ms without a core, scrapes", isCompared: false },
    ],
    isOnRequest: false,
    measure: async ({ leash, scale, record }) => {
      const backends = scale.of(BACKENDS);
      const rig = await Rig.start({
        leash,
        backends: 1,
        weirFor: ([port = 0]) => weirInFrontOf(backends, port),
      });
      try {
        record("weir", await measure(rig, scale, backends));
      } finally {
        await rig.stop();
      }
    },
  },
];

/** Many names for one backend. */
function weirInFrontOf(count: number, port: number) {
  const backends = Array.from({ length: count }, (_, i) => ({ id: `b${i}`, url: `ws://127.0.0.1:${port}` }));
  return weirWith({ name: "weir", threads: 1, pool: { backends, affinity: "off" } });
}

async function measure(rig: Rig, scale: Scale, backends: number): Promise<Sample> {
  const [idle, upgrades] = [rig.addGenerator(), rig.addGenerator()];
  flawless(await idle.command({ kind: "open", connections: scale.of(CONNECTIONS) }));
  // The code of a scrape is compiled before, as that of an upgrade is.
  for (let i = 0; i < 5; i++) await scrape(rig, backends);
  const cost = await measureCost(rig, scale, backends);
  const cycle = upgrades.command({ kind: "cycle", parallel: UPGRADES_AT_A_TIME, total: ENDLESS });
  await sleep(scale.warmUpMs);
  await upgrades.command({ kind: "mark" });
  await sleep(scale.windowMs);
  const before = flawless(await upgrades.command({ kind: "mark" }));
  const { waitedNs } = rig.weir.use();
  const endMs = performance.now() + scale.windowMs;
  while (performance.now() < endMs) await scrapeInTurn(rig, backends);
  const during = flawless(await upgrades.command({ kind: "mark" }));
  const waitedMs = (rig.weir.use().waitedNs - waitedNs) / NS_PER_MS;
  await upgrades.command({ kind: "stop" });
  await cycle;
  return {
    ...cost,
    beforeP99Ms: before.p99Us / 1_000,
    duringP99Ms: during.p99Us / 1_000,
    beforeMaxMs: before.maxUs / 1_000,
    duringMaxMs: during.maxUs / 1_000,
    addedMs: Math.max(0, during.maxUs - before.maxUs) / 1_000,
    waitedMs,
  };
}

/** Without what the main thread does anyway. */
async function measureCost(rig: Rig, scale: Scale, backends: number): Promise<Sample> {
  const scrapes = scale.of(SCRAPES);
  const idleNs = await mainThreadNs(rig, () => sleep(scrapes * SCRAPE_EVERY_MS));
  let scrapeMs = 0;
  let bytes = 0;
  const busyNs = await mainThreadNs(rig, async () => {
    for (let i = 0; i < scrapes; i++) {
      const one = await scrapeInTurn(rig, backends);
      bytes = one.bytes;
      scrapeMs += one.tookMs;
    }
  });
  return {
    mainMs: (busyNs - idleNs) / NS_PER_MS / scrapes,
    scrapeMs: scrapeMs / scrapes,
    kib: bytes / 1024,
  };
}

async function mainThreadNs(rig: Rig, action: () => Promise<unknown>): Promise<number> {
  const beforeNs = rig.weir.mainThreadCpuNs();
  await action();
  return rig.weir.mainThreadCpuNs() - beforeNs;
}

/**
 * Ends when the next one is due. One upon the other they would measure how three busy processes share two
 * cores, and not how long an admission waits for a turn of a scrape.
 */
async function scrapeInTurn(rig: Rig, backends: number): Promise<{ bytes: number; tookMs: number }> {
  const startedAtMs = performance.now();
  const bytes = await scrape(rig, backends);
  const tookMs = performance.now() - startedAtMs;
  await sleep(Math.max(0, SCRAPE_EVERY_MS - tookMs));
  return { bytes, tookMs };
}

/** Returns its length, and throws for one that is not whole. */
async function scrape(rig: Rig, backends: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${rig.weir.adminPort}/metrics`);
  const text = await response.text();
  const samples = text.match(/^weir_backend_up\{/gm)?.length ?? 0;
  if (samples !== backends) throw new Error(`a scrape has ${samples} of ${backends} backends`);
  return text.length;
}

function flawless(report: LoadReport): LoadReport {
  if (report.failures > 0) throw new Error(`${report.failures} connections failed: ${report.firstFailure}`);
  return report;
}
