// `limits.overload`: when Weir itself is short of memory or of time, it takes no new work, of the lowest
// priority first. Open connections stay: ending them would bring their clients back as upgrades.

import { isDeepStrictEqual } from "node:util";
import type { LimitsConfig, OverloadConfig, Priority, TierConfig } from "../config/schema-limits.ts";
import { formatDuration, formatPercent } from "../config/units.ts";
import type { Log } from "../log.ts";
import type { Resources } from "./alerts/vitals.ts";

interface OverloadFigures {
  readonly memory: Pick<Resources["memory"], "share">;
  readonly eventLoopDelayMs: Resources["eventLoopDelayMs"];
}

interface OverloadOptions {
  readonly resources: () => OverloadFigures;
  readonly log: Pick<Log, "warn" | "info">;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

type Limits = Pick<LimitsConfig, "overload">;

type Tiers = Readonly<Record<string, Pick<TierConfig, "priority">>>;

const LOWEST_FIRST: readonly Priority[] = ["low", "normal", "high"];

/** How many times the delay that is allowed it takes for each stage. */
const DELAY_STAGES = [1, 2, 4] as const;

/** What is left above the memory that is allowed is parted into as many. */
const STAGES = DELAY_STAGES.length;

/** A stage is left only this much below where it is entered, */
const RELIEF = 0.9;

/** and no sooner than this after the last change for the worse. */
const HOLD_MS = 5_000;

export class Overload {
  readonly #options: OverloadOptions;
  #config: OverloadConfig | null = null;
  /** That there are tiers of, lowest first: without a low one, the first stage is for the normal. */
  #priorities: readonly Priority[] = [];
  #priorityOf: ReadonlyMap<string, Priority> = new Map();
  #stage = 0;
  #raisedAtMs = 0;

  constructor(options: OverloadOptions) {
    this.#options = options;
  }

  /** Other bounds begin anew: what was above the former ones may be below these. */
  configure({ limits, tiers }: { readonly limits: Limits; readonly tiers: Tiers }): void {
    const config = limits.overload;
    const isSame = isDeepStrictEqual(config, this.#config);
    this.#config = config;
    this.#priorityOf = new Map(Object.entries(tiers).map(([name, { priority }]) => [name, priority]));
    const present = new Set(this.#priorityOf.values());
    this.#priorities = LOWEST_FIRST.filter((priority) => present.has(priority));
    if (isSame) return;
    this.#stage = 0;
    if (config !== null) this.look();
  }

  /** Whether new work of this tier is turned away. */
  refuses(tier: string): boolean {
    if (this.#stage === 0) return false;
    const priority = this.#priorityOf.get(tier) ?? "normal";
    return this.#refused.includes(priority);
  }

  /** Called once a second. */
  look(): void {
    if (this.#config === null) return;
    const { resources, now } = this.#options;
    const current = resources();
    const nowMs = now();
    const entered = stageOf(current, this.#config, 1);
    if (entered > this.#stage) {
      this.#raisedAtMs = nowMs;
      return this.#change(entered, current);
    }
    const left = stageOf(current, this.#config, RELIEF);
    if (left < this.#stage && nowMs - this.#raisedAtMs >= HOLD_MS) this.#change(left, current);
    else if (entered === this.#stage) this.#raisedAtMs = nowMs;
  }

  get #refused(): readonly Priority[] {
    return this.#priorities.slice(0, this.#stage);
  }

  #change(stage: number, { memory, eventLoopDelayMs }: OverloadFigures): void {
    this.#stage = stage;
    const fields = {
      memory: formatPercent(Math.round(memory.share * 1_000) / 1_000),
      eventLoopDelay: formatDuration(Math.round(worstDelayMs(eventLoopDelayMs))),
    };
    const { log } = this.#options;
    if (stage === 0) log.info("no overload any more: new work of all tiers is taken", fields);
    else log.warn("overloaded: new work is refused", { priorities: this.#refused, ...fields });
  }
}

/** The higher of the stages that memory and delay ask for, where each begins at `factor` of its bound. */
function stageOf(
  { memory, eventLoopDelayMs }: OverloadFigures,
  config: OverloadConfig,
  factor: number,
): number {
  const delayMs = worstDelayMs(eventLoopDelayMs);
  let stage = 0;
  for (let next = 0; next < STAGES; next += 1) {
    const { memory: allowedShare, eventLoopDelay: allowedMs } = config;
    const share = allowedShare === null ? Infinity : allowedShare + ((1 - allowedShare) * next) / STAGES;
    const isDelayed = allowedMs !== null && delayMs > allowedMs * (DELAY_STAGES[next] ?? 1) * factor;
    if (memory.share > share * factor || isDelayed) stage = next + 1;
  }
  return stage;
}

function worstDelayMs({ main, workers }: Resources["eventLoopDelayMs"]): number {
  return Math.max(main, ...workers);
}
