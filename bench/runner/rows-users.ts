// Rows that show that Weir forgets the users who are gone: its memory after many of them against that
// after the first ones.

import { setTimeout as sleep } from "node:timers/promises";
import { weirWith } from "../peers/weir.ts";
import type { Metric, Sample, Scale, SoloRow } from "./row.ts";
import { Session } from "./session.ts";

const MIB = 1024 * 1024;
const PARALLEL = 200;
/** Before the first look: so many let the heap of the main thread find its size. */
const FIRST_USERS = 100_000;
/** Few enough to be done within the deadline of one command. */
const MOST_AT_ONCE = 25_000;

const METRICS: readonly Metric[] = [
  { key: "firstMiB", title: "MiB after the first 100 000", isCompared: false },
  { key: "afterMiB", title: "after all", isCompared: false },
  { key: "growth", title: "after all / after the first", isCompared: false },
  { key: "bytesPerUser", title: "growth in B per user", isCompared: false },
  { key: "heapFirstMiB", title: "main heap, MiB after the first", isCompared: false },
  { key: "heapMiB", title: "after all", isCompared: false },
  { key: "known", title: "users still known", isCompared: false },
  { key: "affinities", title: "affinities", isCompared: false },
  { key: "perSecond", title: "users/s", isCompared: false },
];

export const USERS_ROWS: readonly SoloRow[] = [
  usersRow("users", 200_000, false),
  usersRow("users-million", 1_000_000, true),
];

/**
 * All that Weir keeps of a user: a cap, buckets of the tier for messages and bytes, the route's, and for a
 * while a backend. Every time is shorter than the rest before memory is looked at.
 */
const WEIR = weirWith({
  name: "weir",
  threads: 2,
  pool: { affinity: { by: "user", ttl: "10s" } },
  settings: {
    identity: { user: [{ header: "x-user-id" }, "ip"] },
    tiers: {
      everyone: {
        maxConnectionsPerUser: 2,
        userFull: "close-stalest",
        messages: { rate: "1/s", burst: 5 },
        bytes: { rate: "1KiB/s", burst: "4KiB" },
        default: true,
      },
    },
    limits: { onExceed: "drop", abuse: { violations: 100, window: "1m", ban: "5m" } },
    routes: [{ pool: "echo", messages: { rate: "2/s", burst: 10 } }],
  },
});

function usersRow(name: string, users: number, isOnRequest: boolean): SoloRow {
  return {
    name,
    title: `${users.toLocaleString("en-US").replaceAll(",", " ")} users come, send a message and go`,
    metrics: METRICS,
    isOnRequest,
    measure: async ({ leash, scale, record }) => {
      const session = await Session.start(WEIR, leash);
      try {
        record("weir", await measureUsers(session, scale, users));
      } finally {
        await session.stop();
      }
    },
  };
}

async function measureUsers(session: Session, scale: Scale, users: number): Promise<Sample> {
  const first = scale.of(FIRST_USERS);
  const all = scale.of(users);
  await pass(session, 0, first);
  const early = await look(session, scale.collectMs);
  const startedAtMs = performance.now();
  await pass(session, first, all);
  const elapsedMs = performance.now() - startedAtMs;
  const late = await look(session, scale.collectMs);
  return {
    firstMiB: early.residentBytes / MIB,
    afterMiB: late.residentBytes / MIB,
    growth: late.residentBytes / early.residentBytes,
    bytesPerUser: (late.residentBytes - early.residentBytes) / (all - first),
    heapFirstMiB: early.heapBytes / MIB,
    heapMiB: late.heapBytes / MIB,
    known: late.users,
    affinities: late.affinities,
    perSecond: ((all - first) / elapsedMs) * 1000,
  };
}

/** Each opens a connection, has a message echoed, and closes. */
async function pass(session: Session, from: number, to: number): Promise<void> {
  for (let firstUser = from; firstUser < to; firstUser += MOST_AT_ONCE) {
    const total = Math.min(MOST_AT_ONCE, to - firstUser);
    await session.command({ kind: "cycle", parallel: PARALLEL, total, firstUser });
  }
}

interface Look {
  readonly residentBytes: number;
  /** In use on the main thread, which is where users are known. */
  readonly heapBytes: number;
  readonly users: number;
  readonly affinities: number;
}

async function look(session: Session, collectMs: number): Promise<Look> {
  await sleep(collectMs);
  const { residentBytes } = session.use();
  const response = await fetch(`http://127.0.0.1:${session.adminPort}/metrics`);
  const metrics = await response.text();
  return {
    residentBytes,
    heapBytes: sampleOf(metrics, "nodejs_heap_size_used_bytes"),
    users: sampleOf(metrics, "weir_users"),
    affinities: sampleOf(metrics, "weir_affinity_entries"),
  };
}

/** Of a metric without labels. */
function sampleOf(metrics: string, name: string): number {
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1];
  if (value === undefined) throw new Error(`no metric ${name}`);
  return Number(value);
}
