// The figures that Weir must reach, each taken from the rows that measure it. Printed, never enforced:
// a shared machine decides too much.

import type { Results } from "./results.ts";
import { ratios } from "./statistics.ts";

export interface Goal {
  readonly title: string;
  readonly limit: number;
  readonly isAtLeast: boolean;
  /** One for each round. */
  readonly values: (results: Results) => number[];
}

export const GOALS: readonly Goal[] = [
  versus("CPU per round trip, × haproxy", 1.3, "roundtrip"),
  versus("CPU per pipelined message, × haproxy", 1.5, "pipelined"),
  {
    title: "CPU per pipelined message, ws-relay's × Weir's",
    limit: 20,
    isAtLeast: true,
    values: (results) =>
      ratios(results.values("pipelined", "ws-relay", "cpuUs"), results.values("pipelined", "weir", "cpuUs")),
  },
  versus("CPU per 16 KiB message, × haproxy", 1.2, "large"),
  versus("CPU per upgrade, × haproxy", 2.5, "upgrade"),
  plain("KiB per idle connection, of 5 000", 8, "idle", "fewKiB"),
  plain("KiB per idle connection, of 4 000 more", 8, "idle", "moreKiB"),
  variant("CPU per round trip, two threads × one", 1.15, "threads", "weir-2", "roundtripUs"),
  variant("CPU per pipelined message, two threads × one", 1.15, "threads", "weir-2", "pipelinedUs"),
  variant("CPU per round trip, limits on × off", 1.1, "limits", "weir-limits", "roundtripUs"),
  variant("CPU per pipelined message, limits on × off", 1.1, "limits", "weir-limits", "pipelinedUs"),
  plain("CPU per round trip, 4 000 connections × 400", 1.3, "scale", "growth"),
  plain("CPU per pipelined message, 4 000 connections × 400", 1.3, "scale-pipelined", "growth"),
  plain("CPU per 16 KiB message, 4 000 connections × 400", 1.3, "scale-large", "growth"),
  plain("MiB of growth while 1 GiB passes", 32, "huge", "fastMiB"),
  plain("MiB of growth while 1 GiB passes, slow reader", 32, "huge", "slowMiB"),
  plain("resident memory after 50 000 connections, × before", 1.1, "churn", "growth"),
  exactness("messages of a flooding user, % off the limit", "exactness"),
  exactness("the same at 1/m for two minutes", "exactness-slow"),
  plain("ms that a reload of 1 000 backends takes on the main thread", 100, "reload", "mainMs"),
  plain("ms that it adds to the slowest message", 10, "reload", "addedMs"),
  plain("connections lost and upgrades refused in 100 reloads under load", 0, "reload-load", "lost"),
  plain("connections lost and upgrades refused beside a killed backend's own", 0, "killed", "lost"),
  plain("s until a killed backend gets nothing, × interval × unhealthyAfter", 1, "killed", "away"),
  plain("CPU of 9 000 idle connections with heartbeats, % of a core", 3, "heartbeats", "corePercent"),
  plain("clients without 1001 in a shutdown of 5 000", 0, "drain", "others"),
  plain("exit code of a shutdown of 5 000", 0, "drain", "exitCode"),
  plain("s until it has exited", 30, "drain", "seconds"),
  plain("closes in the busiest 100 ms of a shutdown, × their share", 2, "drain", "busiest"),
  plain("kinds of things left of 100 000 connections of every kind of end", 0, "left", "left"),
  plain("connects that failed at takeovers (with tcp_migrate_req on)", 0, "takeover", "failures"),
  atLeast("connects a second, over the takeovers", 900, "takeover", "perSecond"),
  plain("ms of a normal client's slowest upgrade beside 5 000 tricklers", 1_000, "tricklers", "maxMs"),
  plain("upgrades of that client that failed", 0, "tricklers", "failed"),
  plain("ms of a normal client's slowest upgrade beside silent sockets", 1_000, "silent", "maxMs"),
  plain("upgrades of that client that failed", 0, "silent", "failed"),
  plain("latency of messages beside 2 000 bad upgrades a second, × before", 2, "bad-upgrades", "times"),
  atLeast("bad upgrades refused a second meanwhile", 2_000, "bad-upgrades", "refused"),
  plain("counting, % of the CPU of a round trip", 2, "counting", "percent"),
  plain("ms that a scrape with 1 000 backends takes on the main thread", 50, "scrape", "mainMs"),
  plain("ms that scrapes add to the slowest upgrade", 10, "scrape", "addedMs"),
  plain("resident memory after 200 000 users, × after 100 000", 1.1, "users", "growth"),
  plain("resident memory after 1 000 000 users, × after 100 000", 1.1, "users-million", "growth"),
];

/** The case that is furthest off. */
function exactness(title: string, row: string): Goal {
  return {
    title,
    limit: 1,
    isAtLeast: false,
    values: (results) => {
      const deviations = results
        .peersOf(row)
        .flatMap((name) => results.values(row, name, "deviation"))
        .map((deviation) => Math.abs(deviation ?? Infinity));
      return deviations.length === 0 ? [] : [Math.max(...deviations)];
    },
  };
}

function versus(title: string, limit: number, row: string): Goal {
  return {
    title,
    limit,
    isAtLeast: false,
    values: (results) =>
      ratios(results.values(row, "weir", "cpuUs"), results.values(row, "haproxy", "cpuUs")),
  };
}

function variant(title: string, limit: number, row: string, peer: string, metric: string): Goal {
  return {
    title,
    limit,
    isAtLeast: false,
    values: (results) => ratios(results.values(row, peer, metric), results.values(row, "weir", metric)),
  };
}

function plain(title: string, limit: number, row: string, metric: string): Goal {
  return {
    title,
    limit,
    isAtLeast: false,
    values: (results) => results.values(row, "weir", metric).filter((value) => value !== undefined),
  };
}

function atLeast(title: string, limit: number, row: string, metric: string): Goal {
  return { ...plain(title, limit, row, metric), isAtLeast: true };
}
