// What is wrong with the whole, if anything: figures against the `alerts` section. Pure.

import { ALL_TIERS } from "../../config/schema-limits.ts";
import type { AlertsConfig } from "../../config/schema-process.ts";
import type { Figures } from "./vitals.ts";

type Severity = "degraded" | "unhealthy";

export interface Condition {
  /** Tells it from all others: its code, and whom it is about where there may be several. */
  readonly key: string;
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly value: number | null;
  readonly threshold: number | null;
}

/** Connections of a tier, or of all (`all`), against the cap that is set. */
interface CapUse {
  readonly tier: string;
  readonly open: number;
  readonly limit: number;
}

/** A pool's backends that are listed, without those that an operator has taken out. */
export interface PoolUse {
  readonly pool: string;
  readonly backends: number;
  /** Of these, down by their checks or ejected. */
  readonly down: number;
  /** May be given work. */
  readonly ready: number;
}

export interface Situation {
  readonly figures: Figures;
  readonly caps: readonly CapUse[];
  readonly pools: readonly PoolUse[];
}

/** A condition that is there already goes on until its figure is this much below the threshold. */
const RELIEF = 0.9;

/** A few failures of a few upgrades say nothing. */
const MIN_FAILED_UPGRADES = 5;

const NEAR_CAP = 0.9;
const UNHEALTHY_ERROR_RATE = 0.5;
const UNHEALTHY_MEMORY = 0.95;

/** @param isActive whether the condition of this key is there already */
export function conditionsOf(
  { figures, caps, pools }: Situation,
  alerts: AlertsConfig,
  isActive: (key: string) => boolean,
): Condition[] {
  const isAbove = (key: string, value: number | null, threshold: number | null): boolean =>
    value !== null && threshold !== null && value > threshold * (isActive(key) ? RELIEF : 1);
  return [
    ...trafficConditions(figures, alerts, isAbove),
    ...resourceConditions(figures, alerts, isAbove),
    ...pools.flatMap((pool) => poolCondition(pool)),
    ...caps
      .filter(({ tier, open, limit }) => isAbove(`near_cap ${tier}`, open / limit, NEAR_CAP))
      .map((cap) => capCondition(cap)),
  ];
}

type IsAbove = (key: string, value: number | null, threshold: number | null) => boolean;

function trafficConditions(
  { upgrades, errorRate, roundTripMs }: Figures,
  alerts: AlertsConfig,
  isAbove: IsAbove,
): Condition[] {
  const found: Condition[] = [];
  const isMeaningful = upgrades.failed >= MIN_FAILED_UPGRADES;
  if (isMeaningful && isAbove("error_rate", errorRate, alerts.errorRate)) {
    const message = `${percent(errorRate)} of the upgrades of the last minute failed (${upgrades.failed} of ${upgrades.total})`;
    found.push({
      ...plain("error_rate", message, errorRate, alerts.errorRate),
      severity: errorRate > UNHEALTHY_ERROR_RATE ? "unhealthy" : "degraded",
    });
  }
  const backendMs = roundTripMs.backend.p99;
  if (isAbove("round_trip_backend", backendMs, alerts.roundTrip)) {
    const message = `backends answer pings after ${milliseconds(backendMs)} (p99)`;
    found.push(plain("round_trip_backend", message, backendMs, alerts.roundTrip));
  }
  // Some clients are always on a bad network: only what half of them see is worth a word.
  const clientMs = roundTripMs.client.p50;
  if (isAbove("round_trip_client", clientMs, alerts.roundTrip)) {
    const message = `clients answer pings after ${milliseconds(clientMs)} (median)`;
    found.push(plain("round_trip_client", message, clientMs, alerts.roundTrip));
  }
  return found;
}

function resourceConditions(
  { memory, eventLoopDelayMs }: Figures,
  alerts: AlertsConfig,
  isAbove: IsAbove,
): Condition[] {
  const found: Condition[] = [];
  if (isAbove("memory", memory.share, alerts.memory)) {
    const message = `${percent(memory.share)} of the memory limit is used`;
    found.push({
      ...plain("memory", message, memory.share, alerts.memory),
      severity: memory.share > UNHEALTHY_MEMORY ? "unhealthy" : "degraded",
    });
  }
  const delayMs = Math.max(eventLoopDelayMs.main, ...eventLoopDelayMs.workers);
  if (isAbove("event_loop_delay", delayMs, alerts.eventLoopDelay)) {
    const message = `an event loop is ${milliseconds(delayMs)} late (p99)`;
    found.push(plain("event_loop_delay", message, delayMs, alerts.eventLoopDelay));
  }
  return found;
}

function poolCondition({ pool, backends, down, ready }: PoolUse): Condition[] {
  if (ready === 0) {
    return [
      {
        key: `pool_down ${pool}`,
        code: "pool_down",
        severity: "unhealthy",
        message: `pool ${pool} has no backend that could be given work`,
        value: 0,
        threshold: null,
      },
    ];
  }
  if (down === 0) return [];
  return [
    {
      key: `backends_down ${pool}`,
      code: "backends_down",
      severity: "degraded",
      message: `${down} of ${backends} backends of pool ${pool} are down`,
      value: down,
      threshold: null,
    },
  ];
}

function capCondition({ tier, open, limit }: CapUse): Condition {
  const whose = tier === ALL_TIERS ? "limits.maxConnections" : `the cap of tier ${tier}`;
  return {
    key: `near_cap ${tier}`,
    code: "near_cap",
    severity: "degraded",
    message: `${open} of ${limit} connections: near ${whose}`,
    value: open / limit,
    threshold: NEAR_CAP,
  };
}

function plain(code: string, message: string, value: number | null, threshold: number | null): Condition {
  return { key: code, code, severity: "degraded", message, value, threshold };
}

function percent(share: number): string {
  return `${Math.round(share * 1_000) / 10}%`;
}

function milliseconds(ms: number | null): string {
  return `${Math.round(ms ?? 0)} ms`;
}
