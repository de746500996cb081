// Rows about clients that mean harm: what becomes of the others meanwhile.

import { setTimeout as sleep } from "node:timers/promises";
import type { Attack, AttackReport, LoadReport } from "../load/commands.ts";
import { weirWith } from "../peers/weir.ts";
import { Commanded } from "./commanded.ts";
import { Rig, type RigOptions } from "./rig.ts";
import type { Metric, Sample, Scale, Solo, SoloRow } from "./row.ts";

const ATTACKER = new URL("../load/attacker.ts", import.meta.url);

const TRICKLERS = 5_000;
const TRICKLE_EVERY_MS = 1_000;
/** A few more than are promised, which must be refused in every second. */
const BAD_UPGRADES_PER_SECOND = 2_100;
/** Few: a core is left for the flood, whose own process takes one. */
const OPEN_CONNECTIONS = 8;
const MESSAGE_BYTES = 64;
/** The usual limit of a shell; far fewer than there are silent sockets. */
const FEW_FILES = 1_024;
const SILENT = 5_000;
const ENDLESS = 100_000_000;

type Attacker = Commanded<Attack, AttackReport>;

/** Of one that comes and goes while the attack goes on. */
const OF_THE_CLIENT: readonly Metric[] = [
  { key: "cutOff", title: "of them cut off meanwhile", isCompared: false },
  { key: "upgrades", title: "upgrades of the client", isCompared: false },
  { key: "failed", title: "failed", isCompared: false },
  { key: "p50Ms", title: "p50 in ms", isCompared: false },
  { key: "p99Ms", title: "p99 in ms", isCompared: false },
  { key: "maxMs", title: "slowest", isCompared: false },
];

export const HOSTILE_ROWS: readonly SoloRow[] = [
  {
    name: "tricklers",
    title: "A normal client beside 5 000 that send a byte of their heads a second",
    metrics: [{ key: "tricklers", title: "tricklers", isCompared: false }, ...OF_THE_CLIENT],
    isOnRequest: false,
    measure: (solo) => onRig(solo, weirFor(), measureTricklers),
  },
  {
    name: "silent",
    title: "A normal client beside 5 000 that open sockets and say nothing, of a Weir with 1 024 files",
    metrics: [
      { key: "openedPerSecond", title: "silent sockets a second", isCompared: false },
      ...OF_THE_CLIENT,
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, weirFor(FEW_FILES), measureSilent),
  },
  {
    name: "bad-upgrades",
    title: "Messages of open connections beside 2 000 bad upgrades a second",
    metrics: [
      { key: "refused", title: "refused a second", isCompared: false },
      { key: "beforeP50Ms", title: "p50 in ms, no flood", isCompared: false },
      { key: "duringP50Ms", title: "flood", isCompared: false },
      { key: "times", title: "×", isCompared: false },
      { key: "beforeP99Ms", title: "p99 in ms, no flood", isCompared: false },
      { key: "duringP99Ms", title: "flood", isCompared: false },
      { key: "timesP99", title: "×", isCompared: false },
      { key: "waitedMs", title: "ms without a core, flood", isCompared: false },
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, weirFor(), measureBadUpgrades),
  },
];

/** With its log as it comes: the line that a refusal costs is part of what is measured. */
function weirFor(openFiles?: number): RigOptions["weirFor"] {
  return ([port = 0]) =>
    weirWith({
      name: "weir",
      threads: 1,
      settings: { routes: [{ match: { path: "/" }, pool: "echo", origins: ["https://example.com"] }] },
      pool: { backends: [`ws://127.0.0.1:${port}`], affinity: "off", healthCheck: "off" },
      logsAll: true,
      ...(openFiles !== undefined && { openFiles }),
    });
}

async function onRig(
  { leash, scale, record }: Solo,
  weirFor: RigOptions["weirFor"],
  measure: (rig: Rig, attacker: Attacker, scale: Scale) => Promise<Sample>,
): Promise<void> {
  const rig = await Rig.start({ leash, backends: 1, weirFor });
  const attacker: Attacker = new Commanded(ATTACKER, [`${rig.weir.port}`]);
  try {
    record("weir", await measure(rig, attacker, scale));
  } finally {
    attacker.kill();
    await rig.stop();
  }
}

/** For longer than a head may take, so that those that are cut off and come back are there as well. */
async function measureTricklers(rig: Rig, attacker: Attacker, scale: Scale): Promise<Sample> {
  const tricklers = scale.of(TRICKLERS);
  await attacker.command({ kind: "trickle", sockets: tricklers, everyMs: TRICKLE_EVERY_MS });
  return { tricklers, ...(await besides(rig, attacker, scale)) };
}

async function measureSilent(rig: Rig, attacker: Attacker, scale: Scale): Promise<Sample> {
  // However small the scale, they are more than there are files.
  await attacker.command({ kind: "silent", sockets: Math.max(scale.of(SILENT), 2 * FEW_FILES) });
  return await besides(rig, attacker, scale);
}

/** What becomes of a client that comes and goes while the attack goes on. */
async function besides(rig: Rig, attacker: Attacker, scale: Scale): Promise<Sample> {
  const client = rig.addGenerator();
  const cycle = client.command({ kind: "cycle", parallel: 1, total: ENDLESS });
  await sleep(scale.warmUpMs);
  const before = await attacker.command({ kind: "look" });
  await client.command({ kind: "mark" });
  await sleep(4 * scale.windowMs);
  const report = await client.command({ kind: "mark" });
  const after = await attacker.command({ kind: "stop" });
  await client.command({ kind: "stop" });
  await cycle;
  if (report.failures > 0) console.error(`the first failure was: ${report.firstFailure}`);
  return {
    openedPerSecond: ((after.opened - before.opened) * 1_000) / report.elapsedMs,
    cutOff: after.refused - before.refused,
    upgrades: report.upgrades,
    failed: report.failures,
    p50Ms: report.p50Us / 1_000,
    p99Ms: report.p99Us / 1_000,
    maxMs: report.maxUs / 1_000,
  };
}

async function measureBadUpgrades(rig: Rig, attacker: Attacker, scale: Scale): Promise<Sample> {
  const client = rig.addGenerator();
  await client.command({ kind: "open", connections: OPEN_CONNECTIONS });
  await client.command({ kind: "flow", messageBytes: MESSAGE_BYTES, inFlight: 1 });
  await sleep(scale.warmUpMs);
  await client.command({ kind: "mark" });
  await sleep(scale.windowMs);
  const before = flawless(await client.command({ kind: "mark" }));
  await attacker.command({ kind: "bad-upgrades", perSecond: scale.of(BAD_UPGRADES_PER_SECOND) });
  await sleep(scale.warmUpMs);
  const { refused: earlier } = await attacker.command({ kind: "look" });
  await client.command({ kind: "mark" });
  const { waitedNs } = rig.weir.use();
  await sleep(scale.windowMs);
  const during = flawless(await client.command({ kind: "mark" }));
  const waitedMs = (rig.weir.use().waitedNs - waitedNs) / 1e6;
  const { refused, unexpected } = await attacker.command({ kind: "stop" });
  await client.command({ kind: "stop" });
  if (unexpected > 0) throw new Error(`${unexpected} bad upgrades were answered with another status`);
  return {
    refused: ((refused - earlier) * 1_000) / during.elapsedMs,
    beforeP50Ms: before.p50Us / 1_000,
    duringP50Ms: during.p50Us / 1_000,
    times: during.p50Us / before.p50Us,
    beforeP99Ms: before.p99Us / 1_000,
    duringP99Ms: during.p99Us / 1_000,
    timesP99: during.p99Us / before.p99Us,
    waitedMs,
  };
}

function flawless(report: LoadReport): LoadReport {
  if (report.failures > 0) throw new Error(`${report.failures} connections failed: ${report.firstFailure}`);
  return report;
}
