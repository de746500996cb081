// The planned goodbye of the whole process: no new work, 1001 to every open connection, the answers that
// plain requests still wait for, then the end.

import type { ShutdownConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Admission } from "./admission.ts";
import type { Workers } from "./workers.ts";

const PROGRESS_INTERVAL_MS = 1_000;
const POLL_INTERVAL_MS = 20;

/** For the threads to report what was cut: its access lines and counts would end with them. */
const CUT_REPORT_MS = 500;

interface DrainOptions {
  readonly admission: Pick<Admission, "startDraining" | "connections" | "requests">;
  readonly workers: Pick<Workers, "stopListening" | "broadcast">;
  readonly shutdown: Pick<ShutdownConfig, "timeout">;
  readonly log: Log;
}

/** Resolves when no connection or request is left, or `shutdown.timeout` has passed and the rest was cut. */
export async function drain({ admission, workers, shutdown, log }: DrainOptions): Promise<void> {
  const deadlineMs = performance.now() + shutdown.timeout;
  const left = () => ({ connections: admission.connections, requests: admission.requests.total });
  const isEmpty = (): boolean => left().connections === 0 && left().requests === 0;
  admission.startDraining();
  const stopped = workers.stopListening();
  // Each thread takes the two in this order; one that does not answer holds up nobody else's goodbye.
  workers.broadcast({ type: "close-all", reason: "draining" });
  const isStopped = await isDoneWithin(stopped, shutdown.timeout);
  log.info("draining", left());
  let reportAtMs = performance.now() + PROGRESS_INTERVAL_MS;
  await poll(() => {
    if (performance.now() >= reportAtMs) {
      reportAtMs += PROGRESS_INTERVAL_MS;
      log.info("draining", left());
    }
    return isEmpty();
  }, deadlineMs);
  if (isStopped && isEmpty()) return;
  log.warn("shutdown timeout reached, cutting connections", left());
  workers.broadcast({ type: "destroy-all" });
  await poll(isEmpty, performance.now() + CUT_REPORT_MS);
}

async function isDoneWithin(task: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => timeout.resolve(false), timeoutMs);
  try {
    return await Promise.race([task.then(() => true), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when it is so, or at the deadline. */
async function poll(isSo: () => boolean, deadlineMs: number): Promise<void> {
  while (!isSo() && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}
