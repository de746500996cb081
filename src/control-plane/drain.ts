// The planned goodbye of the whole process, step by step: a last time of service, no new work, a notice, a
// time to leave, 1001 to whoever is still there, the answers that plain requests wait for, then the end.

import type { ShutdownConfig } from "../config/schema.ts";
import type { Log, LogFields } from "../log.ts";
import type { Admission } from "./admission.ts";
import type { Workers } from "./workers.ts";

const PROGRESS_INTERVAL_MS = 1_000;
const POLL_INTERVAL_MS = 20;

/** However long the spread is, closes come at least this fast. */
const MIN_CLOSES_PER_MS = 50 / 1_000;

/**
 * Share of the timeout, and milliseconds at the most, that its end is kept free for: the threads report what
 * was cut, since its access lines and counts would end with them.
 */
const REPORT_SHARE = 0.1;
const MAX_REPORT_MS = 500;

/** How long a client that was accepted has for its request, where another process accepts already. */
const MAX_NEWCOMER_MS = 2_000;

interface DrainOptions {
  readonly admission: Pick<Admission, "startDraining" | "connections" | "requests">;
  readonly workers: Pick<Workers, "stopAccepting" | "stopListening" | "broadcast">;
  readonly shutdown: ShutdownConfig;
  /** How long peers have for their Close, `timeouts.close`. */
  readonly closeTimeoutMs: number;
  /** Writes the state down; it logs its own failures. */
  readonly saveState: () => Promise<void>;
  /** Whether another process serves in this one's place: nobody has to notice, and nobody is turned away. */
  readonly isReplaced: () => boolean;
  readonly log: Log;
}

/** Resolves when no connection or request is left, or `shutdown.timeout` has passed and the rest was cut. */
export async function drain(options: DrainOptions): Promise<void> {
  const { admission, log } = options;
  const progress = setInterval(() => log.info("draining", left(admission)), PROGRESS_INTERVAL_MS);
  try {
    await takeSteps(options);
  } finally {
    clearInterval(progress);
  }
}

async function takeSteps(options: DrainOptions): Promise<void> {
  const { admission, workers, shutdown, log } = options;
  const endMs = performance.now() + shutdown.timeout;
  const cutAtMs = endMs - Math.min(shutdown.timeout * REPORT_SHARE, MAX_REPORT_MS);
  const lastCloseAtMs = cutAtMs - options.closeTimeoutMs;
  if (shutdown.readyDelay > 0 && !options.isReplaced()) {
    log.info("shutdown begins, everything is still served", { readyDelayMs: shutdown.readyDelay });
    await poll(options.isReplaced, Math.min(performance.now() + shutdown.readyDelay, lastCloseAtMs));
  }
  if (options.isReplaced()) {
    const newcomersUntilMs = Math.min(performance.now() + MAX_NEWCOMER_MS, lastCloseAtMs);
    await workers.stopAccepting(Math.max(0, newcomersUntilMs - performance.now()));
  }
  let areListenersClosed = false;
  void workers.stopListening().then(() => (areListenersClosed = true));
  // Whoever is refused now and comes back at once must not find the listeners open.
  admission.startDraining();
  log.info("draining", left(admission));
  workers.broadcast({ type: "announce-drain", graceMs: shutdown.grace });
  await poll(() => admission.connections === 0, Math.min(performance.now() + shutdown.grace, lastCloseAtMs));
  let isSaved = false;
  // The other process has the state, and writes its own.
  if (options.isReplaced()) isSaved = true;
  else void options.saveState().then(() => (isSaved = true));
  const withinMs = Math.max(0, lastCloseAtMs - performance.now());
  const spreadMs = Math.min(shutdown.spread, admission.connections / MIN_CLOSES_PER_MS, withinMs);
  workers.broadcast({ type: "close-all", reason: "draining", spreadMs, withinMs });
  const isEmpty = (): boolean => admission.connections === 0 && admission.requests.total === 0;
  await poll(() => areListenersClosed && isEmpty(), cutAtMs);
  const isOver = areListenersClosed && isEmpty();
  if (!isOver) log.warn("shutdown timeout reached, cutting connections", left(admission));
  // Also those that have asked for nothing yet: a program that uses Weir as a library lives on.
  workers.broadcast({ type: "destroy-all" });
  if (!isOver) await poll(isEmpty, endMs);
  await poll(() => isSaved, endMs);
}

function left({ connections, requests }: DrainOptions["admission"]): LogFields {
  return { connections, requests: requests.total };
}

/** Resolves when it is so, or at the deadline. */
async function poll(isSo: () => boolean, deadlineMs: number): Promise<void> {
  while (!isSo() && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}
