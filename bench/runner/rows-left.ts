// What is left of connections of every kind of end: nothing, by the account of the process that had them.

import { setTimeout as sleep } from "node:timers/promises";
import { EndsBackend } from "../load/ends-backend.ts";
import { endsConfig, KINDS_OF_END, runEnds } from "../load/ends.ts";
import { excessOf, type ProcessResources } from "../load/process-resources.ts";
import { weirWith } from "../peers/weir.ts";
import type { Solo, SoloRow } from "./row.ts";
import { RunningPeer } from "./running-peer.ts";

const PRELOADED = new URL("../load/resources.ts", import.meta.url);
const THREADS = 2;
const CONNECTIONS = 100_000;
const PARALLEL = 200;
const MOST_LOOKS = 20;
const LOOK_EVERY_MS = 500;

export const LEFT_ROWS: readonly SoloRow[] = [
  {
    name: "left",
    title: `100 000 connections end in ${KINDS_OF_END} ways`,
    metrics: [
      { key: "connections", title: "connections", isCompared: false },
      { key: "left", title: "kinds of things left", isCompared: false },
      { key: "files", title: "open files", isCompared: false },
      { key: "filesBefore", title: "before", isCompared: false },
      { key: "buckets", title: "buckets", isCompared: false },
      { key: "perSecond", title: "connections/s", isCompared: false },
    ],
    isOnRequest: true,
    measure: measureLeft,
  },
];

async function measureLeft({ leash, scale, record }: Solo): Promise<void> {
  const backend = await EndsBackend.listen();
  try {
    const peer = weirWith({
      name: "weir",
      threads: THREADS,
      settings: endsConfig(backend.port),
      env: { NODE_OPTIONS: `--import=${PRELOADED.href}`, WEIR_RESOURCES_OF: `${THREADS}` },
    });
    const weir = await RunningPeer.start(peer, backend.port, leash);
    try {
      const ends = { port: weir.port, adminPort: weir.adminPort, parallel: PARALLEL };
      await runEnds({ ...ends, perKind: 10 });
      const before = await untilSettled(weir, ({ buckets }) => buckets === 0);
      const startedAtMs = performance.now();
      const perKind = Math.ceil(scale.of(CONNECTIONS) / KINDS_OF_END);
      await runEnds({ ...ends, perKind });
      const seconds = (performance.now() - startedAtMs) / 1000;
      const after = await untilSettled(weir, (resources) => excessOf(resources, before).length === 0);
      const excess = excessOf(after, before);
      for (const line of excess) console.error(`left: ${line}`);
      const connections = perKind * KINDS_OF_END;
      record("weir", {
        connections,
        left: excess.length,
        files: after.files,
        filesBefore: before.files,
        buckets: after.buckets,
        perSecond: connections / seconds,
      });
    } finally {
      await weir.stop();
    }
  } finally {
    backend.close();
  }
}

/** What it holds, once it is as it should be, or as it was at last. */
async function untilSettled(
  weir: RunningPeer,
  isSettled: (resources: ProcessResources) => boolean,
): Promise<ProcessResources> {
  let resources = await look(weir);
  for (let looks = 1; looks < MOST_LOOKS && !isSettled(resources); looks++) {
    await sleep(LOOK_EVERY_MS);
    resources = await look(weir);
  }
  return resources;
}

async function look(weir: RunningPeer): Promise<ProcessResources> {
  const before = lastReport(weir);
  weir.signal("SIGUSR2");
  // No two are alike, as each has the number of the one before.
  for (;;) {
    const report = lastReport(weir);
    if (report !== null && report.number !== before?.number) return report;
    await sleep(LOOK_EVERY_MS / 10);
  }
}

function lastReport(weir: RunningPeer): ProcessResources | null {
  const line = weir.output.split("\n").findLast((text) => text.startsWith('{"number"') && text.endsWith("}"));
  return line === undefined ? null : (JSON.parse(line) as ProcessResources);
}
