// Rows about how connections are kept and how they end: what heartbeats cost, how evenly a shutdown says
// goodbye, and whether anybody notices that one process takes the place of another.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CrowdCommand, CrowdReport } from "../load/commands.ts";
import { weirWith } from "../peers/weir.ts";
import { Commanded } from "./commanded.ts";
import type { Leash } from "./leash.ts";
import type { Sample, Solo, SoloRow } from "./row.ts";
import { RunningPeer } from "./running-peer.ts";

const CROWD = new URL("../load/crowd.ts", import.meta.url);
const BACKEND = new URL("../load/backend.ts", import.meta.url);

const IDLE_CONNECTIONS = 9_000;
/** As the configuration has it by default. */
const PING = { interval: "30s", timeout: "30s" };
const HEARTBEAT_WINDOW_MS = 60_000;
const DRAINED_CONNECTIONS = 5_000;
const SPREAD_MS = 5_000;
/** No stretch of this length is to see more than twice its share of the closes. */
const STRETCH_MS = 100;
/** In place of an exit code; above 0, as every one is that tells of a failure. */
const ENDED_BY_SIGNAL = 256;
const CONNECTS_PER_SECOND = 1_000;
const TAKEOVERS = 5;
const MIGRATION_FILE = "/proc/sys/net/ipv4/tcp_migrate_req";
const NS_PER_MS = 1e6;

export const END_ROWS: readonly SoloRow[] = [
  {
    name: "heartbeats",
    title: "9 000 idle connections for two minutes, pinged every 30 s on both sides",
    metrics: [
      { key: "firstPercent", title: "CPU in % of a core, in the first minute", isCompared: false },
      { key: "corePercent", title: "in the second", isCompared: false },
      { key: "mainPercent", title: "of it the main thread", isCompared: false },
      { key: "pings", title: "pings to clients", isCompared: false },
      { key: "usPerPing", title: "CPU in µs for a ping to each side", isCompared: false },
    ],
    isOnRequest: false,
    measure: async (solo) => {
      for (const ping of [PING, "off"] as const) await measureHeartbeats(solo, ping);
    },
  },
  {
    name: "drain",
    title: "A shutdown with 5 000 connections, spread over 5 s",
    metrics: [
      { key: "goodbyes", title: "clients with 1001", isCompared: false },
      { key: "others", title: "otherwise", isCompared: false },
      { key: "busiest", title: "busiest 100 ms, × its share", isCompared: false },
      { key: "seconds", title: "s until the exit", isCompared: false },
      { key: "exitCode", title: "exit code", isCompared: false },
    ],
    isOnRequest: false,
    measure: measureDrain,
  },
  {
    name: "takeover",
    title: `${TAKEOVERS} takeovers under 1 000 connects a second`,
    metrics: [
      { key: "isMigrated", title: "tcp_migrate_req", isCompared: false },
      { key: "connects", title: "connects", isCompared: false },
      { key: "perSecond", title: "per second", isCompared: false },
      { key: "failures", title: "failed", isCompared: false },
      { key: "lost", title: "cut", isCompared: false },
    ],
    isOnRequest: false,
    measure: measureTakeover,
  },
];

interface Stage {
  readonly crowd: Commanded<CrowdCommand, CrowdReport>;
  readonly weir: RunningPeer;
  readonly backendPort: number;
}

async function onStage(
  leash: Leash,
  settings: Readonly<Record<string, unknown>>,
  action: (stage: Stage) => Promise<void>,
): Promise<void> {
  const backend = new Commanded<never, never>(BACKEND);
  const crowd = new Commanded<CrowdCommand, CrowdReport>(CROWD);
  try {
    const backendPort = await backend.port();
    const weir = await RunningPeer.start(
      weirWith({ name: "weir", threads: 1, settings }),
      backendPort,
      leash,
    );
    try {
      await action({ crowd, weir, backendPort });
    } finally {
      await weir.stop();
    }
  } finally {
    crowd.kill();
    backend.kill();
  }
}

async function measureHeartbeats({ leash, scale, record }: Solo, ping: typeof PING | "off"): Promise<void> {
  await onStage(leash, { timeouts: { ping } }, async ({ crowd, weir }) => {
    await crowd.command({ kind: "gather", port: weir.port, clients: scale.of(IDLE_CONNECTIONS) });
    await sleep(scale.settleMs);
    // What is new, the compiler has to see to and each connection's first ping has to set up.
    const first = await useWithin(scale.of(HEARTBEAT_WINDOW_MS), weir);
    const pingsBefore = (await crowd.command({ kind: "look" })).pings;
    const second = await useWithin(scale.of(HEARTBEAT_WINDOW_MS), weir);
    const pings = (await crowd.command({ kind: "look" })).pings - pingsBefore;
    record(ping === "off" ? "weir without pings" : "weir", {
      firstPercent: first.percent,
      corePercent: second.percent,
      mainPercent: second.mainPercent,
      pings,
      usPerPing: pings === 0 ? 0 : second.cpuNs / 1000 / pings,
    });
  });
}

/** CPU of a process within a time, in nanoseconds and in % of a core. */
async function useWithin(
  ms: number,
  weir: RunningPeer,
): Promise<{ cpuNs: number; percent: number; mainPercent: number }> {
  const before = { all: weir.use().cpuNs, main: weir.mainThreadCpuNs(), atMs: performance.now() };
  await sleep(ms);
  const elapsedNs = (performance.now() - before.atMs) * NS_PER_MS;
  const cpuNs = weir.use().cpuNs - before.all;
  const mainNs = weir.mainThreadCpuNs() - before.main;
  return { cpuNs, percent: (cpuNs / elapsedNs) * 100, mainPercent: (mainNs / elapsedNs) * 100 };
}

async function measureDrain({ leash, scale, record }: Solo): Promise<void> {
  const clients = scale.of(DRAINED_CONNECTIONS);
  // As many in proportion, however few they are: 50 a second is the least.
  const spreadMs = Math.min(SPREAD_MS, (clients / 50) * 1000);
  const settings = { shutdown: { spread: `${SPREAD_MS}ms` } };
  await onStage(leash, settings, async ({ crowd, weir }) => {
    await crowd.command({ kind: "gather", port: weir.port, clients });
    await sleep(scale.settleMs);
    const startedAtMs = performance.now();
    const exitCode = await weir.end("SIGTERM");
    const seconds = (performance.now() - startedAtMs) / 1000;
    const { goodbyesAtMs } = await crowd.command({ kind: "end" });
    record("weir", {
      goodbyes: goodbyesAtMs.length,
      others: clients - goodbyesAtMs.length,
      busiest: busiestStretch(goodbyesAtMs) / ((clients * STRETCH_MS) / spreadMs),
      seconds,
      exitCode: exitCode ?? ENDED_BY_SIGNAL,
    });
  });
}

/** The most that came within any 100 ms. */
function busiestStretch(atMs: readonly number[]): number {
  let most = 0;
  let from = 0;
  for (const [index, at] of atMs.entries()) {
    while (at - (atMs[from] ?? at) >= STRETCH_MS) from++;
    most = Math.max(most, index - from + 1);
  }
  return most;
}

async function measureTakeover({ leash, scale, record }: Solo): Promise<void> {
  const settings = { pidFile: join(leash.directory, "weir.pid"), shutdown: { spread: "1s" } };
  await onStage(leash, settings, async ({ crowd, weir, backendPort }) => {
    await crowd.command({ kind: "pass", port: weir.port, perSecond: CONNECTS_PER_SECOND });
    const startedAtMs = performance.now();
    await sleep(scale.warmUpMs);
    let running = weir;
    try {
      for (let i = 0; i < Math.ceil(scale.of(TAKEOVERS)); i++) {
        const successor = weirWith({ name: "weir", threads: 1, settings, takesOver: true });
        const next = await RunningPeer.startInPlaceOf(running, successor, backendPort);
        const code = await running.exited();
        if (running !== weir) await running.stop();
        running = next;
        if (code !== 0) throw new Error(`the process that was replaced ended with ${code}`);
        await sleep(scale.warmUpMs);
      }
      const report = await crowd.command({ kind: "end" });
      record("weir", toTakeoverSample(report, performance.now() - startedAtMs));
    } finally {
      if (running !== weir) await running.stop();
    }
  });
}

function toTakeoverSample({ opened, failures, firstFailure, lost }: CrowdReport, elapsedMs: number): Sample {
  if (failures > 0) console.error(`takeover: the first failure was: ${firstFailure}`);
  const isMigrated = readFileSync(MIGRATION_FILE, "utf8").trim() === "1" ? 1 : 0;
  const connects = opened + failures;
  return { isMigrated, connects, perSecond: (connects / elapsedMs) * 1000, failures, lost };
}
