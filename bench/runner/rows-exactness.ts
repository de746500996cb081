// Rows that show how exactly Weir holds a flooding user to the limit: what gets through against what the
// rate and the burst allow.

import type { Flood, FloodReport } from "../load/commands.ts";
import type { Peer } from "../peers/peer.ts";
import { weirWith } from "../peers/weir.ts";
import { Commanded } from "./commanded.ts";
import type { Metric, Sample, Solo, SoloRow } from "./row.ts";
import { RunningPeer } from "./running-peer.ts";

const FLOODER = new URL("../load/flooder.ts", import.meta.url);
const THREADS = 2;
const MANY_CONNECTIONS = 20;
/** A read brings few of these, so that what might be lost between one read and the next shows. */
const MESSAGE_BYTES = 1024;
/** With `drop`, a bucket must hold what refills while a thread is busy with something else. */
const LEAST_DROP_BURST_S = 0.02;
/** A burst as one would set it: two seconds of the rate, but a handful at least. */
const USUAL_BURST_S = 2;
const LEAST_USUAL_BURST = 10;
/**
 * The window ends half a token late, or by this much: the last token is due at the very end of it, and would
 * else count or not by how a millisecond falls.
 */
const MOST_EXTRA_MS = 100;
/** For the start of a flood, beside its window. */
const START_MS = 30_000;
/** One token a minute, for two minutes, is just less than two tokens to a computer. */
const ROUNDING = 1e-9;
const NS_PER_MS = 1e6;

interface Rate {
  /** As the configuration has it. */
  readonly text: string;
  readonly perSecond: number;
}

interface Case {
  readonly onExceed: "delay" | "drop";
  readonly rate: Rate;
  readonly burst: number;
  readonly connections: number;
}

const RATES: readonly Rate[] = [
  { text: "60/m", perSecond: 1 },
  { text: "5/s", perSecond: 5 },
  { text: "100/s", perSecond: 100 },
  { text: "1000/s", perSecond: 1000 },
  { text: "10000/s", perSecond: 10_000 },
];
const SLOWEST: readonly Rate[] = [{ text: "1/m", perSecond: 1 / 60 }];

const METRICS: readonly Metric[] = [
  { key: "expected", title: "messages expected", isCompared: false },
  { key: "messages", title: "got through", isCompared: false },
  { key: "deviation", title: "deviation in %", isCompared: false },
  { key: "waitedMs", title: "ms without a core", isCompared: false },
];

export const EXACTNESS_ROWS: readonly SoloRow[] = [
  {
    name: "exactness",
    title: `A flooding user held to the limit for 10 s, on ${THREADS} threads`,
    metrics: METRICS,
    isOnRequest: false,
    // One at a time: a flood that is dropped takes all the time of the machine.
    measure: (solo) =>
      onWeir(solo, casesOf(RATES), async (run, cases) => {
        for (const one of cases) await run(one, 10_000);
      }),
  },
  {
    name: "exactness-slow",
    title: `The same at one message a minute, for 2 minutes`,
    metrics: METRICS,
    isOnRequest: true,
    // All at once: at this rate a thread that is busy for a moment makes no difference.
    measure: (solo) =>
      onWeir(solo, casesOf(SLOWEST), async (run, cases) => {
        await Promise.all(cases.map((one) => run(one, 120_000)));
      }),
  },
];

function casesOf(rates: readonly Rate[]): Case[] {
  return rates.flatMap((rate) => {
    const usual = Math.max(LEAST_USUAL_BURST, USUAL_BURST_S * rate.perSecond);
    const least = { delay: 1, drop: Math.max(1, Math.ceil(LEAST_DROP_BURST_S * rate.perSecond)) };
    return (["delay", "drop"] as const).flatMap((onExceed) =>
      [least[onExceed], usual].flatMap((burst) =>
        [1, MANY_CONNECTIONS].map((connections) => ({ onExceed, rate, burst, connections })),
      ),
    );
  });
}

type Run = (one: Case, windowMs: number) => Promise<void>;

/** Each case has a route of its own with its limit, and a user of its own, on the one Weir. */
async function onWeir(
  { leash, scale, record }: Solo,
  cases: readonly Case[],
  action: (run: Run, cases: readonly Case[]) => Promise<void>,
): Promise<void> {
  const flooder = new Commanded<Flood, FloodReport>(FLOODER);
  try {
    const weir = await RunningPeer.start(weirFor(cases), await flooder.port(), leash);
    try {
      const run: Run = async (one, windowMs) =>
        record(nameOf(one), await measureCase(one, { weir, flooder, windowMs: scale.of(windowMs) }));
      await action(run, cases);
    } finally {
      await weir.stop();
    }
  } finally {
    flooder.kill();
  }
}

interface Rig {
  readonly weir: RunningPeer;
  readonly flooder: Commanded<Flood, FloodReport>;
  readonly windowMs: number;
}

async function measureCase(one: Case, { weir, flooder, windowMs }: Rig): Promise<Sample> {
  const { rate, burst, connections } = one;
  const order: Flood = {
    port: weir.port,
    path: pathOf(one),
    user: nameOf(one),
    connections,
    messageBytes: MESSAGE_BYTES,
    windowMs: windowMs + Math.min(MOST_EXTRA_MS, 500 / rate.perSecond),
  };
  const before = weir.use();
  const { messages } = await flooder.command(order, windowMs + START_MS);
  const expected = Math.floor((rate.perSecond * windowMs) / 1000 + ROUNDING) + burst;
  return {
    expected,
    messages,
    deviation: (messages / expected - 1) * 100,
    waitedMs: (weir.use().waitedNs - before.waitedNs) / NS_PER_MS,
  };
}

function weirFor(cases: readonly Case[]): Peer {
  return weirWith({
    name: "weir",
    threads: THREADS,
    settings: {
      identity: { user: [{ header: "x-user-id" }, "ip"] },
      // A read of a flood brings many messages, the last of which waits longest.
      limits: { maxDelay: "48h" },
      routes: [
        ...cases.map((one) => ({
          match: { path: pathOf(one) },
          pool: "echo",
          messages: { rate: one.rate.text, burst: one.burst, onExceed: one.onExceed },
        })),
        { pool: "echo" },
      ],
    },
  });
}

function nameOf({ onExceed, rate, burst, connections }: Case): string {
  return `${onExceed}, ${rate.text}, burst ${burst}, ${connections} connection${connections === 1 ? "" : "s"}`;
}

function pathOf({ onExceed, rate, burst, connections }: Case): string {
  return `/${onExceed}/${rate.text}/${burst}/${connections}`;
}
