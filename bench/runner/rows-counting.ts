// What counting costs of the CPU that a message costs: measured apart, and held against a message of the same
// Weir at the same time.

import { setTimeout as sleep } from "node:timers/promises";
import { countingNs } from "../micro/counting.ts";
import { weir } from "../peers/weir.ts";
import type { SoloRow } from "./row.ts";
import { Session } from "./session.ts";

const CONNECTIONS = 64;
const MESSAGE_BYTES = 64;
/** A round trip passes two pipes. */
const CHUNKS_PER_ROUND_TRIP = 2;
const NS_PER_US = 1_000;

export const COUNTING_ROWS: readonly SoloRow[] = [
  {
    name: "counting",
    title: "What counting costs of a 64 B round trip",
    metrics: [
      { key: "countingNs", title: "ns to count a chunk", isCompared: false },
      { key: "cpuUs", title: "CPU µs/round trip", isCompared: false },
      { key: "percent", title: "counting, % of it", isCompared: false },
    ],
    isOnRequest: false,
    measure: async ({ leash, scale, record }) => {
      const session = await Session.start(weir, leash);
      try {
        await session.command({ kind: "open", connections: CONNECTIONS });
        await session.command({ kind: "flow", messageBytes: MESSAGE_BYTES, inFlight: 1 });
        const { cpuNs, report } = await session.window(scale.warmUpMs, scale.windowMs);
        await session.command({ kind: "stop" });
        await sleep(scale.settleMs);
        const perRoundTripNs = cpuNs / report.messages;
        const perChunkNs = await countingNs();
        record("weir", {
          countingNs: perChunkNs,
          cpuUs: perRoundTripNs / NS_PER_US,
          percent: ((CHUNKS_PER_ROUND_TRIP * perChunkNs) / perRoundTripNs) * 100,
        });
      } finally {
        await session.stop();
      }
    },
  },
];
