// The families about Weir itself: its version, threads, health, configuration, certificates and process.

import { readdir, stat } from "node:fs/promises";
import prometheus from "prom-client";
import type { HealthVerdict } from "../../control-plane/alerts/health.ts";
import type { EventLoopDelays } from "../../shared-memory/event-loop-delay.ts";
import type { LastReload } from "../../reloader.ts";
import { labelsText, type LiveFamily, type Sample } from "../exposition.ts";
import type { CertificateExpiries } from "../certificate-expiries.ts";

export interface ProcessSources {
  readonly workerRestarts: () => number;
  readonly isDraining: () => boolean;
  readonly lastReload: () => LastReload;
  readonly delays: Pick<EventLoopDelays, "worst">;
  readonly health: {
    readonly current: { readonly verdict: HealthVerdict };
    readonly changes: Readonly<Record<HealthVerdict, number>>;
  };
  readonly webhook: { readonly results: Readonly<Record<"ok" | "failed", number>> };
  readonly expiries: Pick<CertificateExpiries, "all">;
}

const OPEN_FILES = "process_open_fds";
const OPEN_FILES_FOLDER = "/proc/self/fd";

/** The library's own 10 ms would wake an idle process a hundred times a second. */
const EVENT_LOOP_PRECISION_MS = 100;

/** Of the main thread: the threads share one process, and each has an event loop and a heap of its own. */
export function collectProcessMetrics(registry: prometheus.Registry): void {
  prometheus.collectDefaultMetrics({
    register: registry,
    eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS,
  });
  if (registry.getSingleMetric(OPEN_FILES) === undefined) return;
  // The library's own reads a folder of 18 000 files at once, and holds everything else up meanwhile.
  registry.removeSingleMetric(OPEN_FILES);
  const files: prometheus.Gauge = new prometheus.Gauge({
    name: OPEN_FILES,
    help: "Open file descriptors.",
    registers: [registry],
    collect: async () => {
      files.set(await openFiles());
    },
  });
}

/** Linux 6.2 and later tell their number as the folder's size. */
async function openFiles(): Promise<number> {
  const { size } = await stat(OPEN_FILES_FOLDER);
  return size > 0 ? size : (await readdir(OPEN_FILES_FOLDER)).length;
}

export function processFamilies(sources: ProcessSources): LiveFamily[] {
  const { workerRestarts, isDraining, lastReload, delays, health, webhook, expiries } = sources;
  return [
    {
      name: "weir_event_loop_lag_p99_seconds",
      help: "How late a thread's event loop comes to what is due: the worst p99 of five seconds in the last fifteen.",
      type: "gauge",
      samples: () => threadLags(delays),
    },
    {
      name: "weir_health_state",
      help: "1 for the verdict on the whole, 0 for the others.",
      type: "gauge",
      samples: () => verdicts(health.changes, (verdict) => Number(verdict === health.current.verdict)),
    },
    {
      name: "weir_health_changes_total",
      help: "Changes of the verdict on the whole, by what it became.",
      type: "counter",
      samples: () => verdicts(health.changes, (verdict) => health.changes[verdict]),
    },
    {
      name: "weir_webhook_posts_total",
      help: "Changes of the verdict that were posted to alerts.webhook (ok), or given up (failed).",
      type: "counter",
      samples: () => [
        ['result="ok"', webhook.results.ok],
        ['result="failed"', webhook.results.failed],
      ],
    },
    {
      name: "weir_worker_restarts_total",
      help: "Worker threads started again.",
      type: "counter",
      samples: () => [["", workerRestarts()]],
    },
    {
      name: "weir_draining",
      help: "1 from the begin of the shutdown on.",
      type: "gauge",
      samples: () => [["", Number(isDraining())]],
    },
    {
      name: "weir_config_last_reload_successful",
      help: "1 where the last reload was applied; 0 where it was invalid or held back.",
      type: "gauge",
      samples: () => [["", Number(lastReload().successful)]],
    },
    {
      name: "weir_config_last_reload_timestamp_seconds",
      help: "When the configuration was last read, at the start or at a reload.",
      type: "gauge",
      samples: () => [["", lastReload().atMs / 1_000]],
    },
    {
      name: "weir_tls_certificate_expiry_timestamp_seconds",
      help: "When the first of a listener's certificates expires; NaN where it has none.",
      type: "gauge",
      samples: () =>
        expiries.all.map(({ listener, atMs }): Sample => [labelsText({ listener }), atMs / 1_000]),
    },
  ];
}

function* threadLags({ worst }: ProcessSources["delays"]): Iterable<Sample> {
  yield ['thread="main"', worst.main / 1_000];
  for (const [index, delayMs] of worst.workers.entries()) {
    yield [`thread="worker-${index}"`, delayMs / 1_000];
  }
}

function verdicts(
  all: Readonly<Record<HealthVerdict, number>>,
  valueOf: (verdict: HealthVerdict) => number,
): Sample[] {
  return (Object.keys(all) as HealthVerdict[]).map((verdict) => [`state="${verdict}"`, valueOf(verdict)]);
}
