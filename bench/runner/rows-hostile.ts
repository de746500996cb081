// Rows about clients that mean harm: what becomes of the others meanwhile.

import { setTimeout as sleep } from "node:timers/promises";
import type { Attack, AttackReport, LoadReport } from "../load/commands.ts";
import type { Peer } from "../peers/peer.ts";
import { weirWith } from "../peers/weir.ts";
import { Commanded } from "./commanded.ts";
import { Rig } from "./rig.ts";
import type { Sample, Scale, Solo, SoloRow } from "./row.ts";

const ATTACKER = new URL("../load/attacker.ts", import.meta.url);

const TRICKLERS = 5_000;
const TRICKLE_EVERY_MS = 1_000;
const BAD_UPGRADES_PER_SECOND = 2_000;
/** Few: a core is left for the flood, whose own process takes one. */
const OPEN_CONNECTIONS = 8;
const MESSAGE_BYTES = 64;
const ENDLESS = 100_000_000;

type Attacker = Commanded<Attack, AttackReport>;

export const HOSTILE_ROWS: readonly SoloRow[] = [
  {
    name: "tricklers",
    title: "A normal client beside 5 000 that send a byte of their heads a second",
    metrics: [
      { key: "tricklers", title: "tricklers", isCompared: false },
      { key: "cutOff", title: "of them cut off meanwhile", isCompared: false },
      { key: "upgrades", title: "upgrades of the client", isCompared: false },
      { key: "p99Ms", title: "p99 in ms", isCompared: false },
      { key: "maxMs", title: "slowest", isCompared: false },
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, measureTricklers),
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
      { key: "waitedMs", title: "ms without a core, flood", isCompared: false },
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, measureBadUpgrades),
  },
];

function weirFor([port = 0]: readonly number[]): Peer {
  const pool = { backends: [`ws://127.0.0.1:${port}`], affinity: "off", healthCheck: "off" };
  return weirWith({ name: "weir", threads: 1, pool });
}

async function onRig(
  { leash, scale, record }: Solo,
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
  const client = rig.addGenerator();
  const tricklers = scale.of(TRICKLERS);
  await attacker.command({ kind: "trickle", sockets: tricklers, everyMs: TRICKLE_EVERY_MS });
  const cycle = client.command({ kind: "cycle", parallel: 1, total: ENDLESS });
  await sleep(scale.warmUpMs);
  await client.command({ kind: "mark" });
  await sleep(4 * scale.windowMs);
  const report = flawless(await client.command({ kind: "mark" }));
  const { refused } = await attacker.command({ kind: "stop" });
  await client.command({ kind: "stop" });
  await cycle;
  return {
    tricklers,
    cutOff: refused,
    upgrades: report.upgrades,
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
  const { refused } = await attacker.command({ kind: "stop" });
  await client.command({ kind: "stop" });
  return {
    refused: ((refused - earlier) * 1_000) / during.elapsedMs,
    beforeP50Ms: before.p50Us / 1_000,
    duringP50Ms: during.p50Us / 1_000,
    times: during.p50Us / before.p50Us,
    beforeP99Ms: before.p99Us / 1_000,
    duringP99Ms: during.p99Us / 1_000,
    waitedMs,
  };
}

function flawless(report: LoadReport): LoadReport {
  if (report.failures > 0) throw new Error(`${report.failures} connections failed: ${report.firstFailure}`);
  return report;
}
