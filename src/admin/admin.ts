// The admin side put together: the API, the stream and the server that serves them.

import type { Config } from "../config/schema.ts";
import type { Admission } from "../control-plane/admission.ts";
import type { Health } from "../control-plane/alerts/health.ts";
import type { Vitals } from "../control-plane/alerts/vitals.ts";
import type { Fleet } from "../control-plane/fleet.ts";
import type { Oversight } from "../control-plane/oversight.ts";
import type { Explainer } from "../control-plane/explainer.ts";
import type { Taps } from "../control-plane/taps.ts";
import type { Workers } from "../control-plane/workers.ts";
import type { RememberingLog } from "../remembering-log.ts";
import type { LastReload, Reloader } from "../reloader.ts";
import type { Counters } from "../shared-memory/counters.ts";
import { packageVersion } from "../version.ts";
import { apiEndpoints } from "./api.ts";
import { poolsOf } from "./api/pools.ts";
import { Router } from "./api/router.ts";
import type { Metrics } from "./metrics.ts";
import { AdminServer } from "./server.ts";
import { Sockets } from "./sockets.ts";
import { type Status, statusOf } from "./status.ts";
import { Stream } from "./stream.ts";
import { tapEndpoint } from "./tap.ts";
import { TrafficSampler } from "./traffic.ts";

export interface AdminParts {
  readonly log: RememberingLog;
  readonly config: () => Config;
  readonly admission: Admission;
  readonly fleet: Fleet;
  readonly workers: Pick<Workers, "size" | "restarts">;
  readonly counters: Counters;
  readonly metrics: Metrics;
  readonly upgrades: { readonly accepted: number; readonly refused: number };
  readonly vitals: Vitals;
  readonly health: Health;
  readonly oversight: Oversight;
  readonly explainer: Explainer;
  readonly taps: Taps;
  /** Null where Weir was not started from a file. */
  readonly reloads: Pick<Reloader, "reload" | "dryRun"> | null;
  readonly lastReload: () => LastReload;
  /** @param pool also asks that a backend of this pool may be given work */
  readonly isReady: (pool: string | null) => boolean;
  readonly isDraining: () => boolean;
  /** Begins the shutdown; once is as good as twice. */
  readonly drain: () => void;
}

export class Admin {
  readonly #server: AdminServer;
  readonly #traffic: TrafficSampler;

  constructor(config: NonNullable<Config["admin"]>, parts: AdminParts) {
    const { fleet, admission } = parts;
    this.#traffic = new TrafficSampler(parts.counters);
    const startedAtMs = Date.now();
    const pools = { fleet, waiting: () => admission.waiting };
    const status = (): Status =>
      statusOf({
        ...parts,
        version: packageVersion(),
        startedAtMs,
        pools: () => poolsOf(pools),
        traffic: this.#traffic,
        threads: parts.workers,
        isReady: () => parts.isReady(null),
        tapListeners: () => parts.taps.size,
      });
    const logs = parts.log.recent;
    const stream = new Stream({
      message: async () => {
        const busiest = await parts.oversight.busiest();
        return { type: "status", status: status(), busiest };
      },
      logs,
      log: parts.log,
    });
    const sockets = new Sockets([stream.endpoint, tapEndpoint(parts)]);
    this.#server = new AdminServer(config, {
      log: parts.log,
      metrics: parts.metrics,
      isReady: parts.isReady,
      catchUp: () => parts.oversight.catchUp(),
      api: new Router([
        ...apiEndpoints({
          ...parts,
          ...pools,
          status,
          logs,
          departuresUnder: (next) => fleet.departuresUnder(next),
        }),
        ...sockets.plainEndpoints,
      ]),
      sockets,
    });
  }

  /** For requests from now on; `bind` is as it was. */
  configure(config: NonNullable<Config["admin"]>): void {
    this.#server.configure(config);
  }

  /** Resolves with the address. Throws FatalError with exit code 71 where it cannot be bound. */
  async listen(): Promise<string> {
    this.#traffic.start();
    return await this.#server.listen();
  }

  /** Where it listens: a port, or the path of a Unix socket; null before it does. */
  get place(): number | string | null {
    return this.#server.place;
  }

  /** Frees the address; `listen` takes it again. */
  async close(): Promise<void> {
    this.#traffic.stop();
    await this.#server.close();
  }
}
