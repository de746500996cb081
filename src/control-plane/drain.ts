// The planned goodbye of the whole process: no new work, 1001 to every open connection, then the end.

import type { ShutdownConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Admission } from "./admission.ts";
import type { Workers } from "./workers.ts";

const PROGRESS_INTERVAL_MS = 1_000;
const POLL_INTERVAL_MS = 20;

interface DrainOptions {
  readonly admission: Admission;
  readonly workers: Workers;
  readonly shutdown: ShutdownConfig;
  readonly log: Log;
}

/** Resolves when no connection is left, or `shutdown.timeout` has passed and the rest was cut. */
export async function drain({ admission, workers, shutdown, log }: DrainOptions): Promise<void> {
  const deadlineMs = performance.now() + shutdown.timeout;
  admission.startDraining();
  await workers.stopListening();
  log.info("draining", { connections: admission.connections });
  workers.broadcast({ type: "close-all", reason: "draining" });
  let reportAtMs = performance.now() + PROGRESS_INTERVAL_MS;
  while (admission.connections > 0 && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    if (performance.now() < reportAtMs) continue;
    reportAtMs += PROGRESS_INTERVAL_MS;
    log.info("draining", { connections: admission.connections });
  }
  if (admission.connections > 0) {
    log.warn("shutdown timeout reached, cutting connections", { connections: admission.connections });
    workers.broadcast({ type: "destroy-all" });
  }
}
