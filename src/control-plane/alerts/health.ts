// The verdict on the whole, looked at once a second: `ok`, `degraded` or `unhealthy`, with its reasons. It does
// not flap: what is wrong counts at once or after a while, and is over only after a time without it.

import type { AlertsConfig } from "../../config/schema-process.ts";
import type { Log } from "../../log.ts";
import { type Condition, conditionsOf, type Situation } from "./conditions.ts";

export type HealthVerdict = "ok" | "degraded" | "unhealthy";

interface HealthReason {
  readonly code: string;
  readonly message: string;
  readonly value: number | null;
  readonly threshold: number | null;
}

export interface HealthState {
  readonly verdict: HealthVerdict;
  /** ISO 8601. */
  readonly since: string;
  readonly reasons: readonly HealthReason[];
}

/** Milliseconds that a condition must have held to count; the others count at once. */
const MUST_HOLD_MS: Readonly<Record<string, number>> = { event_loop_delay: 10_000, memory: 5_000 };

/** And that it must be gone to count no more. */
const MUST_BE_GONE_MS = 10_000;

interface Held {
  condition: Condition;
  readonly sinceMs: number;
  seenAtMs: number;
  counts: boolean;
}

interface HealthOptions {
  readonly situation: () => Situation;
  readonly log: Log;
  /** Told of each change of the verdict. */
  readonly onChange: (state: HealthState, before: HealthVerdict) => void;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

export class Health {
  /** How often each verdict was reached. */
  readonly changes: Record<HealthVerdict, number> = { ok: 0, degraded: 0, unhealthy: 0 };
  readonly #options: HealthOptions;
  readonly #held = new Map<string, Held>();
  #alerts: AlertsConfig;
  #current: HealthState = { verdict: "ok", since: new Date().toISOString(), reasons: [] };

  constructor(alerts: AlertsConfig, options: HealthOptions) {
    this.#alerts = alerts;
    this.#options = options;
  }

  get current(): HealthState {
    return this.#current;
  }

  configure(alerts: AlertsConfig): void {
    this.#alerts = alerts;
  }

  /** Called once a second. */
  look(): void {
    this.#note(this.#options.now());
    const counting = Array.from(this.#held.values()).filter(({ counts }) => counts);
    const conditions = counting.map(({ condition }) => condition);
    const reasons = conditions.map(({ code, message, value, threshold }) => ({
      code,
      message,
      value,
      threshold,
    }));
    const before = this.#current;
    const verdict = verdictOf(conditions);
    const since = verdict === before.verdict ? before.since : new Date().toISOString();
    this.#current = { verdict, since, reasons };
    if (verdict !== before.verdict) this.#tell(before.verdict);
  }

  #note(nowMs: number): void {
    const isActive = (key: string): boolean => this.#held.get(key)?.counts === true;
    for (const condition of conditionsOf(this.#options.situation(), this.#alerts, isActive)) {
      const held = this.#held.get(condition.key) ?? {
        condition,
        sinceMs: nowMs,
        seenAtMs: nowMs,
        counts: false,
      };
      held.condition = condition;
      held.seenAtMs = nowMs;
      held.counts ||= nowMs - held.sinceMs >= (MUST_HOLD_MS[condition.code] ?? 0);
      this.#held.set(condition.key, held);
    }
    for (const [key, { seenAtMs, counts }] of this.#held) {
      if (seenAtMs < nowMs && (!counts || nowMs - seenAtMs >= MUST_BE_GONE_MS)) this.#held.delete(key);
    }
  }

  #tell(before: HealthVerdict): void {
    const { log, onChange } = this.#options;
    const { verdict, reasons } = this.#current;
    this.changes[verdict] += 1;
    const level = verdict === "ok" ? "info" : "warn";
    log[level](`health is ${verdict}`, { before, reasons: reasons.map(({ message }) => message) });
    onChange(this.#current, before);
  }
}

function verdictOf(conditions: readonly Condition[]): HealthVerdict {
  if (conditions.length === 0) return "ok";
  return conditions.some(({ severity }) => severity === "unhealthy") ? "unhealthy" : "degraded";
}
