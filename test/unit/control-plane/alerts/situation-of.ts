// A situation in which nothing is wrong, but for what a test says.
import type { AlertsConfig } from "../../../../src/config/schema-process.ts";
import type { Situation } from "../../../../src/control-plane/alerts/conditions.ts";
import type { Figures } from "../../../../src/control-plane/alerts/vitals.ts";

export const usualAlerts: AlertsConfig = {
  errorRate: 0.05,
  roundTrip: 1_000,
  memory: 0.8,
  eventLoopDelay: 100,
  webhook: null,
};

type Changes = Partial<Omit<Figures, "errorRate"> & Omit<Situation, "figures">>;

export function situation({ caps = [], pools = [], ...figures }: Changes): Situation {
  const { upgrades = { total: 0, failed: 0 } } = figures;
  return {
    caps,
    pools,
    figures: {
      roundTripMs: { client: { p50: null, p99: null }, backend: { p50: null, p99: null } },
      memory: { rssBytes: 1, limitBytes: 100, share: 0.01 },
      eventLoopDelayMs: { main: 0, workers: [0] },
      ...figures,
      upgrades,
      errorRate: upgrades.total === 0 ? 0 : upgrades.failed / upgrades.total,
    },
  };
}
