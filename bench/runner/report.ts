// The bench's answer as Markdown: the machine, a table for each row, and Weir against its goals.

import { cpus, release, totalmem, type } from "node:os";
import type { Peer } from "../peers/peer.ts";
import { REFERENCE } from "../peers/roster.ts";
import { GOALS } from "./goals.ts";
import type { Results } from "./results.ts";
import type { Metric, Row, SoloRow } from "./row.ts";
import { ratios, summarise } from "./statistics.ts";
import { formatNumber, formatSummary, markdownTable } from "./table.ts";

const GIB = 1024 ** 3;

/** `versions` by the names of the peers that take part, `absent` the reasons of those that do not. */
export interface Circumstances {
  readonly startedAt: Date;
  readonly rounds: number;
  readonly loadAverage: number;
  readonly versions: ReadonlyMap<string, string>;
  readonly absent: ReadonlyMap<string, string>;
}

export function header(circumstances: Circumstances): string {
  const { startedAt, rounds, loadAverage, versions, absent } = circumstances;
  const processors = cpus();
  const lines = [
    "# Bench",
    "",
    `${processors.length} × ${processors[0]?.model.trim()}, ${formatNumber(totalmem() / GIB)} GiB, ` +
      `${type()} ${release()}, Node ${process.version}, ${startedAt.toISOString()}, ` +
      `load average at the start ${formatNumber(loadAverage)}.`,
    `Medians over ${rounds} rounds or fewer (least–greatest); × is the median of the ratios, round by round.`,
    "",
    ...[...versions].map(([name, version]) => `- ${name}: ${version}`),
    ...[...absent].map(([name, reason]) => `- ${name}: skipped, ${reason}`),
  ];
  return lines.join("\n");
}

export function rowTable(row: Row, results: Results, peers: readonly Peer[]): string {
  const columns = row.metrics.flatMap((metric) =>
    metric.isCompared
      ? [metric.title, `× ${row.comparison === "all" ? REFERENCE : row.comparison.plain}`]
      : [metric.title],
  );
  const present = peers.filter(({ name }) => results.peersOf(row.name).includes(name));
  const lines = present.map((peer) => [
    peer.name,
    ...row.metrics.flatMap((metric) => cells(row, metric, peer, results)),
  ]);
  const names = present.map(({ name }) => name);
  const table = markdownTable(["peer", ...columns], lines);
  return [`## ${row.title}`, "", table, ...failures(row.name, names, results)].join("\n");
}

export function soloTable(row: SoloRow, results: Results): string {
  const cases = results.peersOf(row.name);
  const lines = cases.map((name) => [
    name,
    ...row.metrics.map(({ key }) => formatSummary(summarise(known(results.values(row.name, name, key))))),
  ]);
  const table = markdownTable(["case", ...row.metrics.map(({ title }) => title)], lines);
  return [`## ${row.title}`, "", table, ...failures(row.name, cases, results)].join("\n");
}

export function goalTable(results: Results): string {
  const lines = GOALS.map(({ title, limit, values, isAtLeast }) => {
    const summary = summarise(values(results));
    if (summary === null) return [title, `${isAtLeast ? "≥" : "≤"} ${limit}`, "–", "not measured"];
    const isReached = isAtLeast ? summary.median >= limit : summary.median <= limit;
    return [title, `${isAtLeast ? "≥" : "≤"} ${limit}`, formatSummary(summary), isReached ? "yes" : "no"];
  });
  return [
    "## Weir against its goals",
    "",
    markdownTable(["goal", "limit", "measured", "reached"], lines),
  ].join("\n");
}

function cells(row: Row, metric: Metric, peer: Peer, results: Results): string[] {
  const values = results.values(row.name, peer.name, metric.key);
  const summary = formatSummary(summarise(known(values)));
  if (!metric.isCompared) return [summary];
  const reference = row.comparison === "all" ? REFERENCE : peer.family;
  const compared = ratios(values, results.values(row.name, reference, metric.key));
  const median = summarise(compared)?.median;
  return [summary, median === undefined ? "–" : median.toFixed(2)];
}

function known(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

function failures(row: string, names: readonly string[], results: Results): string[] {
  return names.flatMap((name) => {
    const failure = results.failure(row, name);
    return failure === null ? [] : [`- ${name} failed: ${failure}`];
  });
}
