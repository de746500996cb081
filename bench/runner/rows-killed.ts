// A row about a backend that is killed under load: what becomes of everybody else.

import { setTimeout as sleep } from "node:timers/promises";
import { weirWith } from "../peers/weir.ts";
import { Rig } from "./rig.ts";
import type { Sample, Scale, SoloRow } from "./row.ts";

const BACKENDS = 4;
const CONNECTIONS = 2_000;
const UPGRADES_AT_ONCE = 8;
const ENDLESS = 100_000_000;
const MESSAGE_BYTES = 64;
const CHECK_INTERVAL_MS = 500;
const UNHEALTHY_AFTER = 3;
const POLL_MS = 10;
/** Dials that had begun before it was found down have failed by then, and Weir's main thread has heard of them. */
const UNDER_WAY_MS = 500;
const DEADLINE_MS = 20_000;
const VICTIM = 0;

export const KILLED_ROWS: readonly SoloRow[] = [
  {
    name: "killed",
    title: "One of 4 backends is killed under 2 000 connections",
    metrics: [
      { key: "victims", title: "connections on it", isCompared: false },
      { key: "ended", title: "ended", isCompared: false },
      { key: "lost", title: "lost or refused beside them", isCompared: false },
      { key: "messages", title: "messages echoed after it", isCompared: false },
      { key: "upgrades", title: "upgrades after it", isCompared: false },
      { key: "awayS", title: "s until it gets nothing", isCompared: false },
      { key: "away", title: "× interval × unhealthyAfter", isCompared: false },
    ],
    isOnRequest: false,
    measure: async ({ leash, scale, record }) => {
      // What traffic sees would eject it at once; here the checks have to find it.
      const pool = { affinity: "off", outlier: "off", healthCheck: checks };
      const weirFor = (ports: readonly number[]) =>
        weirWith({ name: "weir", threads: 2, pool: { ...pool, backends: ports.map((port) => urlOf(port)) } });
      const rig = await Rig.start({ leash, backends: BACKENDS, weirFor });
      try {
        record("weir", await measureKilled(rig, scale));
      } finally {
        await rig.stop();
      }
    },
  },
];

const checks = {
  type: "tcp",
  interval: `${CHECK_INTERVAL_MS}ms`,
  timeout: `${CHECK_INTERVAL_MS}ms`,
  unhealthyAfter: UNHEALTHY_AFTER,
};

/** Every echo is compared with what it must be; a message that is lost stalls its connection. */
async function measureKilled(rig: Rig, scale: Scale): Promise<Sample> {
  const [messages, upgrades] = [rig.addGenerator(), rig.addGenerator()];
  await messages.command({ kind: "open", connections: scale.of(CONNECTIONS) });
  const victims = (await victimOf(rig)).connections;
  await messages.command({ kind: "flow", messageBytes: MESSAGE_BYTES, inFlight: 1 });
  const cycle = upgrades.command({ kind: "cycle", parallel: UPGRADES_AT_ONCE, total: ENDLESS });
  // When what follows fails, all is stopped, and how this ends is of no interest.
  cycle.catch(() => {});
  await sleep(scale.warmUpMs);
  for (const generator of [messages, upgrades]) await generator.command({ kind: "mark" });
  rig.killBackend(VICTIM);
  const awayMs = await untilAway(rig);
  await sleep(UNDER_WAY_MS);
  const { dials } = await victimOf(rig);
  await sleep(scale.windowMs);
  const lateDials = (await victimOf(rig)).dials - dials;
  if (lateDials > 0) throw new Error(`${lateDials} dials of the dead backend after it was found down`);
  const after = await messages.command({ kind: "look" });
  await upgrades.command({ kind: "stop" });
  const visits = await cycle;
  await messages.command({ kind: "stop" });
  const ended = after.failures;
  return {
    victims,
    ended,
    lost: Math.abs(ended - victims) + after.stalled + visits.refusals,
    messages: after.messages,
    upgrades: visits.upgrades,
    awayS: awayMs / 1_000,
    away: awayMs / (CHECK_INTERVAL_MS * UNHEALTHY_AFTER),
  };
}

/** How long it took Weir to find it down. */
async function untilAway(rig: Rig): Promise<number> {
  const startedAtMs = performance.now();
  while ((await victimOf(rig)).up) {
    if (performance.now() - startedAtMs > DEADLINE_MS)
      throw new Error("the dead backend is never found down");
    await sleep(POLL_MS);
  }
  return performance.now() - startedAtMs;
}

interface Victim {
  readonly connections: number;
  readonly up: boolean;
  /** That failed. */
  readonly dials: number;
}

async function victimOf(rig: Rig): Promise<Victim> {
  const { pools } = (await rig.admin("GET", "/api/pools")) as {
    pools: readonly {
      backends: readonly { connections: number; up: boolean; failures: Readonly<Record<string, number>> }[];
    }[];
  };
  const backend = pools[0]?.backends[VICTIM];
  if (backend === undefined) throw new Error("the backend is not in the list");
  return { connections: backend.connections, up: backend.up, dials: backend.failures["connect"] ?? 0 };
}

function urlOf(port: number): string {
  return `ws://127.0.0.1:${port}`;
}
