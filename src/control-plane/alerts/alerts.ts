// The `alerts` section put together: figures, the verdict on them, and who is told of its changes.

import os from "node:os";
import type { AlertsConfig } from "../../config/schema-process.ts";
import type { Log } from "../../log.ts";
import type { EventLoopDelays } from "../../shared-memory/event-loop-delay.ts";
import { packageVersion } from "../../version.ts";
import type { Admission } from "../admission.ts";
import type { Fleet } from "../fleet.ts";
import { Health, type HealthState, type HealthVerdict } from "./health.ts";
import { situationOf } from "./situation.ts";
import { Vitals } from "./vitals.ts";
import { Webhook } from "./webhook.ts";

interface AlertsOptions {
  readonly delays: EventLoopDelays;
  readonly admission: Pick<Admission, "caps">;
  readonly fleet: Pick<Fleet, "pools" | "isFirstRoundOver">;
  readonly log: Log;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
}

export class Alerts {
  readonly vitals: Vitals;
  readonly health: Health;
  readonly webhook: Webhook;

  constructor(config: AlertsConfig, options: AlertsOptions) {
    const { delays, admission, fleet, log, now } = options;
    this.vitals = new Vitals({ delays, now });
    this.webhook = new Webhook(config.webhook, { log });
    this.health = new Health(config, {
      situation: () => situationOf(this.vitals, admission, fleet),
      log,
      onChange: (state, before) => this.webhook.post(newsOf(state, before)),
      now,
    });
  }

  configure(config: AlertsConfig): void {
    this.health.configure(config);
    this.webhook.configure(config.webhook);
  }

  /** Called once a second. */
  look(): void {
    this.health.look();
  }

  stop(): void {
    this.webhook.stop();
  }
}

/** What is posted; `text` is what chat services show. */
function newsOf({ verdict, since, reasons }: HealthState, previous: HealthVerdict): object {
  const host = os.hostname();
  const because = reasons.map(({ message }) => message).join("; ");
  return {
    text: `Weir on ${host} is ${verdict}${because === "" ? "" : `: ${because}`}`,
    verdict,
    previous,
    since,
    reasons,
    host,
    version: packageVersion(),
  };
}
