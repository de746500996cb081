// What `weir status` and `weir top` show: Weir's figures as lines. No terminal is known here.

import type { PoolView } from "../admin/api/pools.ts";
import type { Status } from "../admin/status.ts";
import type { BusyUser } from "../control-plane/oversight.ts";
import { count, latency, share, size, span } from "./figures.ts";
import { bar, type Line, piece, type Piece, table } from "./lines.ts";

interface OverviewOptions {
  /** Where Weir is, as the person wrote it. */
  readonly address: string;
  readonly width: number;
}

const VERDICT_STYLES = { ok: "good", degraded: "warn", unhealthy: "bad" } as const;

const LABEL_WIDTH = 14;
const MAX_BAR_WIDTH = 40;

/** The head, the bars and the rates: all that there is once. */
export function summaryLines(status: Status, { address, width }: OverviewOptions): Line[] {
  return [
    headLine(status, address),
    ...healthLines(status),
    [],
    ...barLines(status, width),
    [],
    ...rateLines(status),
    ...processLines(status),
  ];
}

/** A heading for each pool, and a line for each of its backends. */
export function poolLines({ pools }: Pick<Status, "pools">, width: number): Line[] {
  return pools.flatMap((pool) => [[], ...linesOfPool(pool, width)]);
}

export function userLines(users: readonly BusyUser[], width: number): Line[] {
  if (users.length === 0) return [];
  const rows = users.map(({ user, tier, connections, buckets, banned, ...rates }) => [
    piece(user, banned ? "bad" : null),
    piece(tier),
    piece(count(connections)),
    piece(count(rates.messagesPerSecond)),
    piece(size(rates.bytesPerSecond)),
    piece(count(rates.limitedPerSecond), rates.limitedPerSecond > 0 ? "warn" : null),
    piece(buckets.length === 0 ? "–" : share(Math.min(...buckets.map(fillOf)))),
  ]);
  const columns = [
    { title: "busiest users", side: "left" },
    { title: "tier", side: "left" },
    { title: "connections", side: "right" },
    { title: "messages/s", side: "right" },
    { title: "bytes/s", side: "right" },
    { title: "limited/s", side: "right" },
    { title: "bucket", side: "right" },
  ] as const;
  return [[], ...table(columns, rows, firstColumn(width))];
}

function headLine({ version, ready, draining, uptimeSeconds }: Status, address: string): Line {
  const state = draining ? piece("draining", "warn") : ready ? piece("ready") : piece("not ready", "warn");
  return [
    piece(`weir ${version}`, "bold"),
    piece(` at ${address}  `, "dim"),
    state,
    piece(`  up ${span(uptimeSeconds)}`, "dim"),
  ];
}

function healthLines({ health, time, config }: Status): Line[] {
  const { verdict, since, reasons } = health;
  const forSeconds = (Date.parse(time) - Date.parse(since)) / 1_000;
  const { successful, at } = config.lastReload;
  return [
    [piece(verdict, VERDICT_STYLES[verdict]), piece(` for ${span(forSeconds)}`, "dim")],
    ...reasons.map(({ message }) => [piece("  "), piece(message, VERDICT_STYLES[verdict])]),
    ...(successful ? [] : [[piece(`  the reload at ${at} failed`, "warn")]]),
  ];
}

function barLines({ connections, tiers, memory }: Status, width: number): Line[] {
  return [
    barLine("connections", connections.open, connections.limit, count, width),
    ...tiers.map(({ name, open, limit }) => barLine(`  ${name}`, open, limit, count, width)),
    barLine("memory", memory.rssBytes, memory.limitBytes, size, width),
  ];
}

/** @param limit null for none: then there is no bar */
function barLine(
  label: string,
  value: number,
  limit: number | null,
  format: (value: number) => string,
  width: number,
): Line {
  const barWidth = Math.max(0, Math.min(MAX_BAR_WIDTH, width - LABEL_WIDTH - 36));
  const title = piece(label.padEnd(LABEL_WIDTH), label.startsWith(" ") ? null : "bold");
  if (limit === null)
    return [title, piece(" ".repeat(barWidth + 1)), piece(format(value)), piece(", no limit", "dim")];
  const fraction = limit === 0 ? 1 : value / limit;
  return [
    title,
    bar(fraction, barWidth),
    piece(` ${format(value)} of ${format(limit)}`),
    piece(`  ${share(fraction)}`, "dim"),
  ];
}

function rateLines({ perSecond, roundTripMs }: Status): Line[] {
  const { messages, bytes, limited } = perSecond;
  const { client, backend } = roundTripMs;
  const columns = [
    { title: "", side: "left" },
    { title: "client → backend", side: "right" },
    { title: "backend → client", side: "right" },
  ] as const;
  const rows = [
    [piece("messages/s"), piece(count(messages.clientToBackend)), piece(count(messages.backendToClient))],
    [piece("bytes/s"), piece(size(bytes.clientToBackend)), piece(size(bytes.backendToClient))],
  ];
  const limits = Object.entries(limited).map(([action, rate]) => `${action} ${count(rate)}`);
  const isLimiting = Object.values(limited).some((rate) => rate > 0);
  return [
    ...table(columns, rows, LABEL_WIDTH),
    labelled("limited/s", [piece(limits.join("  "), isLimiting ? "warn" : null)]),
    labelled("round trip", [
      piece(`clients ${latency(client.p50)}, p99 ${latency(client.p99)}; `),
      piece(`backends ${latency(backend.p50)}, p99 ${latency(backend.p99)}`),
    ]),
  ];
}

function processLines(status: Status): Line[] {
  const { errorRate, upgrades, eventLoopDelayMs, threads, users, queues } = status;
  const waiting = queues.filter(({ length }) => length > 0);
  const restarts = threads.restarts === 0 ? "" : `, ${threads.restarts} started again`;
  return [
    labelled("upgrades", [
      piece(`${share(errorRate)} errors`, errorRate > 0 ? "warn" : null),
      piece(`; ${count(upgrades.accepted)} accepted, ${count(upgrades.refused)} refused since the start`),
    ]),
    labelled("loop delay", [
      piece(`main ${latency(eventLoopDelayMs.main)}; `),
      piece(`${threads.count} threads${restarts}: ${eventLoopDelayMs.workers.map(latency).join(", ")}`),
    ]),
    labelled("users", [
      piece(`${count(users.known)}, `),
      piece(`${count(users.banned)} banned`, users.banned > 0 ? "warn" : null),
    ]),
    ...(waiting.length === 0
      ? []
      : [
          labelled("waiting", [
            piece(waiting.map(({ queue, length }) => `${queue} ${count(length)}`).join("  "), "warn"),
          ]),
        ]),
  ];
}

function labelled(label: string, pieces: Line): Line {
  return [piece(`  ${label.padEnd(LABEL_WIDTH - 2)}`), ...pieces];
}

function linesOfPool({ name, balance, affinity, backends }: PoolView, width: number): Line[] {
  const columns = [
    { title: "backend", side: "left" },
    { title: "state", side: "left" },
    { title: "connections", side: "right" },
    { title: "capacity", side: "right" },
    { title: "weight", side: "right" },
    { title: "round trip", side: "right" },
    { title: "failures", side: "right" },
  ] as const;
  const rows = backends.map((backend) => {
    const failures = Object.values(backend.failures).reduce((sum, one) => sum + one, 0);
    return [
      piece(backend.id),
      stateOf(backend),
      piece(count(backend.connections)),
      piece(backend.capacity === null ? "–" : count(backend.capacity)),
      piece(count(backend.weight)),
      piece(latency(backend.roundTripMs)),
      piece(count(failures), failures > 0 ? "warn" : null),
    ];
  });
  return [
    [piece(`pool ${name}`, "bold"), piece(`  ${balance}, affinity by ${affinity.by}`, "dim")],
    ...table(columns, rows, firstColumn(width)),
  ];
}

/** The operator's state and the observed one, where both keep work from it; so says the dashboard, too. */
function stateOf({ listed, state, up, ejected }: PoolView["backends"][number]): Piece {
  const decided = listed ? state : "removed";
  const observed = up ? (ejected ? "ejected" : null) : "unhealthy";
  if (observed === null) return piece(decided, decided === "active" ? "good" : "warn");
  return piece(decided === "active" ? observed : `${decided}, ${observed}`, "bad");
}

function fillOf({ tokens, burst }: BusyUser["buckets"][number]): number {
  return burst === 0 ? 0 : Math.max(0, tokens / burst);
}

/** What names may take of a line; the figures need the rest. */
function firstColumn(width: number): number {
  return Math.max(10, width - 70);
}
