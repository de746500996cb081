// Rows about reloads: what one with many backends costs the messages that flow meanwhile, and whether many of
// them lose anything.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { LoadReport } from "../load/commands.ts";
import { weirWith } from "../peers/weir.ts";
import type { Leash } from "./leash.ts";
import { Rig } from "./rig.ts";
import type { Sample, Scale, Solo, SoloRow } from "./row.ts";

const BACKENDS = 1_000;
/** Of the list, at each reload; the others get another weight. */
const REPLACED_BACKENDS = 100;
/** Few, so that a core is left for the reload: what is looked for is a pause of Weir's, not a queue for a core. */
const QUIET_CONNECTIONS = 2;
const QUIET_RELOADS = 10;
const RELOAD_EVERY_MS = 1_000;
const BUSY_RELOADS = 100;
const BUSY_CONNECTIONS = 400;
const BUSY_IN_FLIGHT = 8;
const BUSY_UPGRADES = 8;
const ENDLESS = 100_000_000;
const MESSAGE_BYTES = 64;
const NS_PER_MS = 1e6;

export const RELOAD_ROWS: readonly SoloRow[] = [
  {
    name: "reload",
    title: "Reloads with 1 000 backends, of which a tenth is replaced, while messages flow",
    metrics: [
      { key: "beforeP99Ms", title: "p99 in ms, no reload", isCompared: false },
      { key: "duringP99Ms", title: "reloads", isCompared: false },
      { key: "beforeMaxMs", title: "slowest message in ms, no reload", isCompared: false },
      { key: "duringMaxMs", title: "reloads", isCompared: false },
      { key: "addedMs", title: "added", isCompared: false },
      { key: "waitedMs", title: "ms without a core, reloads", isCompared: false },
      { key: "mainMs", title: "main thread, ms of CPU each", isCompared: false },
      { key: "reloadMs", title: "ms until applied", isCompared: false },
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, measureQuiet),
  },
  {
    name: "reload-load",
    title: "100 reloads with 1 000 backends under full load",
    metrics: [
      { key: "reloads", title: "reloads", isCompared: false },
      { key: "messages", title: "messages echoed", isCompared: false },
      { key: "upgrades", title: "upgrades", isCompared: false },
      { key: "lost", title: "lost or refused", isCompared: false },
      { key: "reloadMs", title: "ms until applied", isCompared: false },
    ],
    isOnRequest: false,
    measure: (solo) => onRig(solo, measureBusy),
  },
];

interface ReloadRig {
  readonly rig: Rig;
  readonly scale: Scale;
  /** Changes the list and has it taken over; how long that took. */
  readonly reload: () => Promise<number>;
}

async function onRig(
  { leash, scale, record }: Solo,
  measure: (rig: ReloadRig) => Promise<Sample>,
): Promise<void> {
  const list = new BackendsFile(leash, scale.of(BACKENDS));
  const rig = await Rig.start({
    leash,
    backends: 1,
    weirFor: ([port = 0]) => {
      list.write(port);
      return weirWith({
        name: "weir",
        threads: 1,
        settings: { reload: { watch: "off" } },
        pool: { backends: [], backendsFile: list.path, affinity: "off", onRemove: { mode: "keep" } },
      });
    },
  });
  try {
    const reload = async (): Promise<number> => {
      list.write();
      const startedAtMs = performance.now();
      await rig.admin("POST", "/api/reload");
      return performance.now() - startedAtMs;
    };
    record("weir", await measure({ rig, scale, reload }));
  } finally {
    await rig.stop();
  }
}

async function measureQuiet({ rig, scale, reload }: ReloadRig): Promise<Sample> {
  const generator = rig.addGenerator();
  await generator.command({ kind: "open", connections: QUIET_CONNECTIONS });
  await generator.command({ kind: "flow", messageBytes: MESSAGE_BYTES, inFlight: 1 });
  // The code of a reload is compiled before, as that of the messages is.
  for (let i = 0; i < 3; i++) await reload();
  await sleep(scale.warmUpMs);
  const reloads = scale.of(QUIET_RELOADS);
  await generator.command({ kind: "mark" });
  await sleep(reloads * RELOAD_EVERY_MS);
  const before = flawless(await generator.command({ kind: "mark" }));
  const cpuNs = rig.weir.mainThreadCpuNs();
  const { waitedNs } = rig.weir.use();
  let reloadMs = 0;
  for (let i = 0; i < reloads; i++) {
    const tookMs = await reload();
    reloadMs += tookMs;
    await sleep(Math.max(0, RELOAD_EVERY_MS - tookMs));
  }
  const during = flawless(await generator.command({ kind: "mark" }));
  const mainMs = (rig.weir.mainThreadCpuNs() - cpuNs) / NS_PER_MS / reloads;
  const waitedMs = (rig.weir.use().waitedNs - waitedNs) / NS_PER_MS;
  await generator.command({ kind: "stop" });
  return {
    waitedMs,
    beforeP99Ms: before.p99Us / 1_000,
    duringP99Ms: during.p99Us / 1_000,
    beforeMaxMs: before.maxUs / 1_000,
    duringMaxMs: during.maxUs / 1_000,
    addedMs: Math.max(0, during.maxUs - before.maxUs) / 1_000,
    mainMs,
    reloadMs: reloadMs / reloads,
  };
}

/** Every echo is compared with what it must be, so that a lost message is a failed connection. */
async function measureBusy({ rig, scale, reload }: ReloadRig): Promise<Sample> {
  const [messages, upgrades] = [rig.addGenerator(), rig.addGenerator()];
  const connections = scale.of(BUSY_CONNECTIONS);
  await messages.command({ kind: "open", connections });
  await messages.command({ kind: "flow", messageBytes: MESSAGE_BYTES, inFlight: BUSY_IN_FLIGHT });
  const cycle = upgrades.command({ kind: "cycle", parallel: BUSY_UPGRADES, total: ENDLESS });
  // When what follows fails, all is stopped, and how this ends is of no interest.
  cycle.catch(() => {});
  const reloads = scale.of(BUSY_RELOADS);
  let reloadMs = 0;
  for (let i = 0; i < reloads; i++) reloadMs += await reload();
  const alive = await messages.command({ kind: "look" });
  await upgrades.command({ kind: "stop" });
  const ended = await cycle;
  const stopped = await messages.command({ kind: "stop" });
  return {
    reloads,
    messages: alive.messages,
    upgrades: ended.upgrades,
    lost: stopped.failures + alive.stalled + ended.failures,
    reloadMs: reloadMs / reloads,
  };
}

function flawless(report: LoadReport): LoadReport {
  if (report.failures > 0) throw new Error(`${report.failures} connections failed: ${report.firstFailure}`);
  return report;
}

/** Many names for one backend, other ones and otherwise weighted each time. */
class BackendsFile {
  readonly path: string;
  readonly #count: number;
  #port = 0;
  #version = 0;

  constructor(leash: Leash, count: number) {
    this.path = join(leash.directory, "backends.json");
    this.#count = count;
  }

  write(port = this.#port): void {
    this.#port = port;
    this.#version += 1;
    const replaced = Math.ceil((this.#count * REPLACED_BACKENDS) / BACKENDS);
    const backends = Array.from({ length: this.#count }, (_, i) => ({
      id: i < replaced ? `b${i}-${this.#version}` : `b${i}`,
      url: `ws://127.0.0.1:${this.#port}`,
      weight: 1 + ((i + this.#version) % 3),
    }));
    writeFileSync(this.path, JSON.stringify(backends));
  }
}
