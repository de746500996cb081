// Rows that measure CPU: messages and upgrades.

import type { Metric, Row, Sample, Scale, Variant } from "./row.ts";
import type { Session, Window } from "./session.ts";

const UPGRADES_IN_PARALLEL = 32;
const NS_PER_US = 1000;

interface Traffic {
  readonly connections: number;
  readonly messageBytes: number;
  readonly inFlight: number;
}

const ROUND_TRIPS: Traffic = { connections: 64, messageBytes: 64, inFlight: 1 };
const PIPELINED: Traffic = { connections: 64, messageBytes: 64, inFlight: 64 };
const LARGE: Traffic = { connections: 64, messageBytes: 16 * 1024, inFlight: 1 };

const CPU: Metric = { key: "cpuUs", title: "CPU µs/message", isCompared: true };
const RATE: Metric = { key: "perSecond", title: "messages/s", isCompared: false };
const LATENCY: readonly Metric[] = [
  { key: "p50Us", title: "p50 µs", isCompared: false },
  { key: "p99Us", title: "p99 µs", isCompared: false },
];

export const TRAFFIC_ROWS: readonly Row[] = [
  trafficRow("roundtrip", "64 B round trips, 64 connections", ROUND_TRIPS),
  trafficRow("pipelined", "64 B messages, 64 in flight on each of 64 connections", PIPELINED),
  trafficRow("large", "16 KiB round trips, 64 connections", LARGE),
  {
    name: "upgrade",
    title: `Upgrades: connections opened and closed, ${UPGRADES_IN_PARALLEL} at a time`,
    metrics: [
      { key: "cpuUs", title: "CPU µs/upgrade", isCompared: true },
      { key: "perSecond", title: "upgrades/s", isCompared: false },
      ...LATENCY,
    ],
    comparison: "all",
    mostRounds: Infinity,
    measure: measureUpgrades,
  },
  scaleRow("scale", "64 B round trips", ROUND_TRIPS),
  scaleRow("scale-pipelined", "64 B messages, 64 in flight on each", PIPELINED),
  scaleRow("scale-large", "16 KiB round trips", LARGE),
  variantRow("threads", "Two threads against one", { suffix: "2", plain: "1 thread" }),
  variantRow("limits", "Message limits on against off", { suffix: "limits", plain: "off" }),
];

function variantRow(name: string, title: string, comparison: Variant): Row {
  return {
    name,
    title,
    metrics: [
      { key: "roundtripUs", title: "CPU µs/round trip", isCompared: true },
      { key: "pipelinedUs", title: "CPU µs/pipelined message", isCompared: true },
    ],
    comparison,
    mostRounds: Infinity,
    measure: async (session, scale) => {
      const roundtrip = await run(session, scale, ROUND_TRIPS);
      const pipelined = await run(session, scale, PIPELINED);
      return { roundtripUs: cpuUsPerMessage(roundtrip), pipelinedUs: cpuUsPerMessage(pipelined) };
    },
  };
}

/** Latency is timed with one message in flight only. */
function trafficRow(name: string, title: string, traffic: Traffic): Row {
  const isTimed = traffic.inFlight === 1;
  return {
    name,
    title,
    metrics: isTimed ? [CPU, RATE, ...LATENCY] : [CPU, RATE],
    comparison: "all",
    mostRounds: Infinity,
    measure: async (session, scale) => {
      const window = await run(session, scale, traffic);
      const { messages, elapsedMs, p50Us, p99Us } = window.report;
      return {
        cpuUs: cpuUsPerMessage(window),
        perSecond: (messages / elapsedMs) * 1000,
        ...(isTimed ? { p50Us, p99Us } : {}),
      };
    },
  };
}

/** The same traffic on 400 and on 4 000 connections. */
function scaleRow(name: string, title: string, traffic: Traffic): Row {
  return {
    name,
    title: `${title}, 4 000 connections against 400`,
    metrics: [
      { key: "fewUs", title: "CPU µs/message at 400", isCompared: true },
      { key: "manyUs", title: "at 4 000", isCompared: true },
      { key: "growth", title: "4 000 / 400", isCompared: false },
    ],
    comparison: "all",
    mostRounds: 3,
    measure: async (session, scale) => {
      const fewUs = cpuUsPerMessage(await run(session, scale, { ...traffic, connections: scale.of(400) }));
      const manyUs = cpuUsPerMessage(await run(session, scale, { ...traffic, connections: scale.of(4000) }));
      return { fewUs, manyUs, growth: manyUs / fewUs };
    },
  };
}

async function run(session: Session, scale: Scale, traffic: Traffic): Promise<Window> {
  const { connections, messageBytes, inFlight } = traffic;
  await session.command({ kind: "open", connections });
  await session.command({ kind: "flow", messageBytes, inFlight });
  const window = await session.window(scale.warmUpMs, scale.windowMs);
  await session.command({ kind: "stop" });
  return window;
}

/** An upgrade runs through far more code than a message, and seldom: compilers take longer to get to it. */
const UPGRADE_WARM_UPS = 3;

async function measureUpgrades(session: Session, scale: Scale): Promise<Sample> {
  const window = await session.during(
    { kind: "cycle", parallel: UPGRADES_IN_PARALLEL, total: Number.MAX_SAFE_INTEGER },
    () => session.window(UPGRADE_WARM_UPS * scale.warmUpMs, scale.windowMs),
  );
  const { upgrades, elapsedMs, p50Us, p99Us } = window.report;
  if (upgrades === 0) throw new Error("no connection was upgraded");
  return {
    cpuUs: window.cpuNs / upgrades / NS_PER_US,
    perSecond: (upgrades / elapsedMs) * 1000,
    p50Us,
    p99Us,
  };
}

function cpuUsPerMessage({ cpuNs, report }: Window): number {
  if (report.messages === 0) throw new Error("no message came back");
  return cpuNs / report.messages / NS_PER_US;
}
