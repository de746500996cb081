// Rows that measure resident memory.

import { setTimeout as sleep } from "node:timers/promises";
import type { SlowReader } from "../load/commands.ts";
import type { Row, Sample, Scale } from "./row.ts";
import type { Session } from "./session.ts";

const KIB = 1024;
const MIB = 1024 * 1024;
const GIB = 1024 * 1024 * 1024;

/** Connections that come and go before the first look, so that the code of an upgrade is there. */
const WARM_UP_CONNECTIONS = 500;
/** The same for `churn`: its level is that of a process in use, whose heap has found its size. */
const CHURN_WARM_UP_CONNECTIONS = 5000;
const PARALLEL = 32;
const MESSAGE_BYTES = 64;
/** The reader stands still for a while, so that all buffers fill, then takes 100 MiB/s or less. */
const SLOW_READER: SlowReader = { firstPauseMs: 2000, burstBytes: 4 * MIB, pauseMs: 40 };

export const MEMORY_ROWS: readonly Row[] = [
  {
    name: "idle",
    title: "Resident memory per idle connection",
    metrics: [
      { key: "fewKiB", title: "KiB each, of 5 000", isCompared: true },
      { key: "moreKiB", title: "of 4 000 more", isCompared: true },
      { key: "baseMiB", title: "MiB without any", isCompared: false },
    ],
    comparison: "all",
    mostRounds: 3,
    measure: measureIdle,
  },
  {
    name: "huge",
    title: "One message of 1 GiB, echoed",
    metrics: [
      { key: "fastMiB", title: "growth in MiB, fast reader", isCompared: false },
      { key: "slowMiB", title: "slow reader", isCompared: false },
      { key: "mibPerSecond", title: "MiB/s, fast reader", isCompared: false },
    ],
    comparison: "all",
    mostRounds: 2,
    measure: measureHuge,
  },
  {
    name: "churn",
    title: "50 000 connections come and go",
    metrics: [
      { key: "beforeMiB", title: "MiB before", isCompared: false },
      { key: "halfMiB", title: "after 25 000", isCompared: false },
      { key: "afterMiB", title: "after 50 000", isCompared: false },
      { key: "growth", title: "after / before", isCompared: false },
    ],
    comparison: "all",
    mostRounds: 1,
    measure: measureChurn,
  },
];

async function measureIdle(session: Session, scale: Scale): Promise<Sample> {
  await cycle(session, scale.of(WARM_UP_CONNECTIONS));
  const base = await settledBytes(session, scale.settleMs);
  const few = scale.of(5000);
  const more = scale.of(4000);
  const withFew = await openMore(session, scale, few);
  const withAll = await openMore(session, scale, more);
  await session.command({ kind: "stop" });
  return {
    fewKiB: (withFew - base) / few / KIB,
    moreKiB: (withAll - withFew) / more / KIB,
    baseMiB: base / MIB,
  };
}

/** Every connection carries a message before it idles, so that all that is made lazily is made. */
async function openMore(session: Session, scale: Scale, connections: number): Promise<number> {
  await session.command({ kind: "open", connections });
  await session.command({ kind: "ping", messageBytes: MESSAGE_BYTES });
  return settledBytes(session, scale.settleMs);
}

async function measureHuge(session: Session, scale: Scale): Promise<Sample> {
  await cycle(session, scale.of(WARM_UP_CONNECTIONS));
  const before = await settledBytes(session, scale.settleMs);
  const bytes = scale.of(GIB);
  const startedAtMs = performance.now();
  const fast = await session.peakResidentBytes({ kind: "huge", bytes });
  const elapsedMs = performance.now() - startedAtMs;
  const slowReader = { ...SLOW_READER, firstPauseMs: Math.min(SLOW_READER.firstPauseMs, scale.warmUpMs) };
  const slow = await session.peakResidentBytes({ kind: "huge", bytes, slowReader });
  return {
    fastMiB: (fast - before) / MIB,
    slowMiB: (slow - before) / MIB,
    mibPerSecond: bytes / MIB / (elapsedMs / 1000),
  };
}

async function measureChurn(session: Session, scale: Scale): Promise<Sample> {
  await cycle(session, scale.of(CHURN_WARM_UP_CONNECTIONS));
  const before = await settledBytes(session, scale.collectMs);
  const half = scale.of(25_000);
  await cycle(session, half);
  const afterHalf = await settledBytes(session, scale.collectMs);
  await cycle(session, half);
  const after = await settledBytes(session, scale.collectMs);
  return {
    beforeMiB: before / MIB,
    halfMiB: afterHalf / MIB,
    afterMiB: after / MIB,
    growth: after / before,
  };
}

async function cycle(session: Session, total: number): Promise<void> {
  await session.command({ kind: "cycle", parallel: PARALLEL, total });
}

/** Nobody asks a runtime to collect its garbage: an operator cannot either. */
async function settledBytes(session: Session, settleMs: number): Promise<number> {
  await sleep(settleMs);
  return session.use().residentBytes;
}
