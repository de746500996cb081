// How much and how fast: the `tiers` and `limits` sections.

import { z } from "zod";
import {
  byteRateLimit,
  duration,
  integer,
  integerOrAuto,
  NAME,
  offOr,
  onOff,
  percent,
  rateFields,
  rateLimit,
  rateOr,
  size,
  withBurst,
} from "./schema-values.ts";

/** A token bucket: `rate` per second (fractions allowed), `burst` at once. */
export interface Rate {
  readonly rate: number;
  readonly burst: number;
}

export type Priority = "high" | "normal" | "low";

/** What the cap of `limits.maxConnections` is called beside those of the tiers, in metrics and alerts. */
export const ALL_TIERS = "all";

/** What happens to a message above its limit. */
export type OnExceed = "delay" | "drop" | "close" | "log";

export interface TierConfig {
  readonly maxConnections: number | null;
  readonly maxConnectionsPerUser: number | null;
  readonly priority: Priority;
  /** Messages per second of one user. */
  readonly messages: Rate | null;
  /** Bytes per second of one user. */
  readonly bytes: Rate | null;
  readonly userFull: "reject" | "close-stalest";
  /** True for exactly one tier. */
  readonly default: boolean;
}

export interface UpgradePaceConfig extends Rate {
  /** Upgrades that may wait. */
  readonly queue: number;
  /** Milliseconds that one may wait. */
  readonly timeout: number;
}

export interface PerAddressConfig {
  readonly connections: number | null;
  readonly upgrades: Rate | null;
}

export interface AbuseConfig {
  /** Dropped messages within `window`. */
  readonly violations: number;
  /** Milliseconds. */
  readonly window: number;
  /** Milliseconds. */
  readonly ban: number;
}

export interface OverloadConfig {
  /** Fraction of the memory limit, 0..1. */
  readonly memory: number | null;
  /** Milliseconds. */
  readonly eventLoopDelay: number | null;
}

export interface LimitsConfig {
  readonly maxConnections: number | "auto";
  /** Bytes on the wire, summed over fragments, client to backend. */
  readonly maxMessageSize: number | null;
  /** Bytes of a request head. */
  readonly maxHeaderSize: number;
  readonly upgrades: UpgradePaceConfig | null;
  readonly perAddress: PerAddressConfig | null;
  /** Control frames of one connection, each direction. */
  readonly controlFrames: Rate | null;
  readonly onExceed: OnExceed;
  /** Milliseconds. */
  readonly maxDelay: number;
  readonly abuse: AbuseConfig | null;
  readonly rejectWith: "http" | "close";
  readonly overload: OverloadConfig | null;
}

const MAX_COUNT = 100_000_000;

const tier = z.strictObject({
  maxConnections: offOr(integer(1, MAX_COUNT))
    .prefault("off")
    .describe("Connections of this tier at once; 503 above it."),
  maxConnectionsPerUser: offOr(integer(1, MAX_COUNT))
    .prefault("off")
    .describe("Connections of one user at once; see `userFull`."),
  priority: z
    .enum(["high", "normal", "low"])
    .prefault("normal")
    .describe("Who is served first where upgrades wait, and refused last under overload."),
  messages: offOr(rateLimit())
    .prefault("off")
    .describe(
      "Messages per second of one user, over all of their connections. What happens above it: `limits.onExceed`.",
    ),
  bytes: offOr(byteRateLimit())
    .prefault("off")
    .describe(
      "Bytes per second of one user, by delay. Charged as they pass and may go into debt, so a message above the burst still passes.",
    ),
  userFull: z
    .enum(["reject", "close-stalest"])
    .prefault("reject")
    .describe(
      "At `maxConnectionsPerUser`: refuse the new connection, or close the user's connection that has been silent longest (over 60 s, at most 3 a minute).",
    ),
  default: onOff()
    .prefault("off")
    .describe("The tier of users for whom no source names one. Exactly one tier has it."),
});

export const tiersSchema = z
  .record(NAME, tier)
  .describe("Classes of users by name. Left out: one tier `default` without caps or rates.");

const UPGRADES_QUEUE = 10_000;
const UPGRADES_TIMEOUT_S = 8;

const upgrades = rateOr(
  z
    .strictObject({
      ...rateFields(),
      queue: integer(0, MAX_COUNT)
        .prefault(UPGRADES_QUEUE)
        .describe("Upgrades that may wait for their turn; 503 above it."),
      timeout: duration()
        .prefault(`${UPGRADES_TIMEOUT_S}s`)
        .describe("How long one may wait; 503 after that."),
    })
    .transform(withBurst),
).transform((pace): UpgradePaceConfig => ({
  queue: UPGRADES_QUEUE,
  timeout: UPGRADES_TIMEOUT_S * 1_000,
  ...pace,
}));

const perAddress = z.strictObject({
  connections: offOr(integer(1, MAX_COUNT))
    .prefault("off")
    .describe("Connections from one address at once; 429 above it."),
  upgrades: offOr(rateLimit()).prefault("off").describe("Upgrades from one address; 429 above it."),
});

const abuse = z.strictObject({
  violations: integer(1, MAX_COUNT)
    .prefault(100)
    .describe("Dropped messages within `window` that make a ban. Delayed messages are no violations."),
  window: duration().prefault("1m").describe("The window in which violations are counted."),
  ban: duration().prefault("5m").describe("How long the user stays banned."),
});

const overload = z.strictObject({
  memory: offOr(percent({ min: "1%", max: "100%" }))
    .prefault("off")
    .describe(
      "Share of the memory limit above which new work is refused: low priorities above it, all from two thirds of the way to 100%.",
    ),
  eventLoopDelay: offOr(duration())
    .prefault("off")
    .describe(
      "Event-loop delay (p99) above which new work is refused: low priorities above it, all above four times as much.",
    ),
});

export const limitsSchema = z
  .strictObject({
    maxConnections: integerOrAuto(1, MAX_COUNT)
      .prefault("auto")
      .describe(
        "Connections at once, over all tiers; 503 above it. auto: (open-file limit - 256) / 2, printed at start.",
      ),
    maxMessageSize: offOr(size())
      .prefault("off")
      .describe(
        "Largest message from a client, in bytes on the wire, summed over its fragments; 1009 above it.",
      ),
    maxHeaderSize: size({ min: "1KiB", max: "1MiB" })
      .prefault("16KiB")
      .describe("Largest head of a request; 431 above it. Raise it for clients with large cookies."),
    upgrades: offOr(upgrades)
      .prefault("off")
      .describe(
        "Pace of new connections. Above it the 101 waits (after the last cap check, before a backend is dialled), so that a reconnect storm reaches the backends as a steady stream. Example: { rate: 1000/s, burst: 2000, queue: 10000, timeout: 8s }.",
      ),
    perAddress: offOr(perAddress)
      .prefault("off")
      .describe(
        "Limits of one client address, before any identity is known. Not for clients behind one NAT. Example: { connections: 100, upgrades: { rate: 10/s, burst: 50 } }.",
      ),
    controlFrames: offOr(rateLimit())
      .prefault({ rate: "100/s", burst: 1000 })
      .describe("Control frames of one connection; 1008 above it."),
    onExceed: z
      .enum(["delay", "drop", "close", "log"])
      .prefault("delay")
      .describe(
        "What happens to a message above its limit: delay (lossless and in order, but the client's heartbeats wait too), drop, close (1008), log (count and log, let through). A route's own wins.",
      ),
    maxDelay: duration()
      .prefault("10s")
      .describe("A message that would be delayed longer than this closes the connection with 1008."),
    abuse: offOr(abuse)
      .prefault("off")
      .describe(
        "Close with 1008 and ban a user after many dropped messages. Example: { violations: 100, window: 1m, ban: 5m }.",
      ),
    rejectWith: z
      .enum(["http", "close"])
      .prefault("http")
      .describe(
        "How an upgrade is refused: with an HTTP status, or by accepting it and closing with a code that browsers can read.",
      ),
    overload: offOr(overload)
      .prefault("off")
      .describe(
        "Refuse upgrades and plain requests, those of the lowest priority first, when Weir itself is short. Example: { memory: 80%, eventLoopDelay: 200ms }.",
      ),
  })
  .prefault({})
  .describe("Limits of Weir as a whole and of one connection; those of a user are in `tiers`.");
