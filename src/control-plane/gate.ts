// What may stand in an upgrade's way before a backend is looked for: bans, a drain, overload, caps. Takes nothing.

import type { Priority } from "../config/schema-limits.ts";
import type { Config } from "../config/schema.ts";
import type { ErrorCode } from "../errors.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import { Bans } from "./bans.ts";
import type { Caps } from "./caps.ts";
import type { Overload } from "./overload.ts";
import type { Places } from "./places.ts";

/** What becomes of an upgrade before it looks for a backend. */
export interface Passage {
  /** Null: it may pass. */
  readonly refusal: ErrorCode | null;
  /** It may pass once another connection of its user has made room. */
  readonly replacesStalest: boolean;
}

interface GateOptions {
  readonly caps: Pick<Caps, "exceededBy">;
  readonly places: Pick<Places, "countOfUser">;
  readonly overload: Pick<Overload, "refuses">;
  readonly now: () => number;
}

export class Gate {
  readonly bans = new Bans();
  readonly #options: GateOptions;
  #tiers: Config["tiers"] = {};
  #isDraining = false;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  configure({ tiers }: Config): void {
    this.#tiers = tiers;
  }

  /** From now on nobody passes. */
  startDraining(): void {
    this.#isDraining = true;
  }

  foresee(request: AdmitRequest): Passage {
    const refusal = this.#refusesAnyway(request);
    if (refusal !== null || request.kind === "request") return { refusal, replacesStalest: false };
    const { caps, places } = this.#options;
    const full = caps.exceededBy(request.tier, places.countOfUser(request.user));
    const mayReplace = this.#tiers[request.tier]?.userFull === "close-stalest";
    const replacesStalest = full === "user_full" && mayReplace;
    return { refusal: replacesStalest ? null : full, replacesStalest };
  }

  /** Among those that have to wait. */
  priorityOf({ tier }: AdmitRequest): Priority {
    return this.#tiers[tier]?.priority ?? "normal";
  }

  /** Whatever there is room for. A plain request that goes on to another backend is no new work. */
  #refusesAnyway({ user, tier, tried }: AdmitRequest): ErrorCode | null {
    if (this.bans.isBanned(user, this.#options.now())) return "banned";
    if (this.#isDraining) return "draining";
    return tried.length === 0 && this.#options.overload.refuses(tier) ? "overloaded" : null;
  }
}
