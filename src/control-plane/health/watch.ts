// The checks of one backend, one after another: when the next is due, how long one may take, and what
// their results amount to.

import { isDeepStrictEqual } from "node:util";
import type { CheckTarget } from "./open-socket.ts";
import { isOwnShortage } from "./own-shortage.ts";
import { Verdict } from "./verdict.ts";

/** Resolves where the backend is well, rejects with what is wrong; `signal` ends it at any time. */
export type RunCheck = (target: CheckTarget, signal: AbortSignal) => Promise<void>;

export interface WatchOwner {
  readonly runCheck: RunCheck;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** A check is due; the owner calls `run` when it may go. */
  onDue(watch: Watch): void;
  /** The check is over, or not wanted any more. */
  onDone(watch: Watch): void;
  /** The first result, and each change. */
  onVerdict(watch: Watch, isUp: boolean, reason: string): void;
  /** A check passed after one that failed, whatever the thresholds make of it. */
  onRecovery(watch: Watch): void;
}

type State =
  | { readonly kind: "stopped" }
  | { readonly kind: "paused"; readonly timer: NodeJS.Timeout }
  | { readonly kind: "due" }
  | { readonly kind: "running"; readonly timeout: NodeJS.Timeout; readonly abort: AbortController };

/** Keeps checks out of step with each other; only ever early, since `interval` is a promise. */
const JITTER = 0.1;

export class Watch {
  readonly pool: string;
  readonly id: string;
  readonly #owner: WatchOwner;
  readonly #verdict = new Verdict();
  #target: CheckTarget;
  #state: State = { kind: "stopped" };
  #isChecked = false;

  constructor(owner: WatchOwner, name: { readonly pool: string; readonly id: string }, target: CheckTarget) {
    this.pool = name.pool;
    this.id = name.id;
    this.#owner = owner;
    this.#target = target;
  }

  /** Null until the first result. */
  get isUp(): boolean | null {
    return this.#verdict.isUp;
  }

  /** Its first check is over, whatever came of it. */
  get isChecked(): boolean {
    return this.#isChecked;
  }

  /** True where the check is another one from now on; the owner starts it then. */
  configure(target: CheckTarget): boolean {
    const isAnother = !isSameCheck(this.#target, target);
    this.#target = target;
    if (isAnother) this.#verdict.startAnew();
    return isAnother;
  }

  /** The next check is due after this long; one in flight is given up. */
  start(delayMs: number): void {
    const timer = setTimeout(() => {
      this.#enter({ kind: "due" });
      this.#owner.onDue(this);
    }, delayMs);
    this.#enter({ kind: "paused", timer });
  }

  stop(): void {
    this.#enter({ kind: "stopped" });
  }

  run(): void {
    const startedAtMs = this.#owner.now();
    const limitMs = this.#target.check.timeout;
    const abort = new AbortController();
    const timeout = setTimeout(() => end(new Error(`no result within ${limitMs} ms`)), limitMs);
    const running: State = { kind: "running", timeout, abort };
    const end = (error: unknown): void => {
      if (this.#state !== running) return;
      // First, so that whoever hears of the result may stop the watch.
      this.start(this.#untilNext(startedAtMs));
      this.#onResult(error);
    };
    this.#enter(running);
    this.#owner.runCheck(this.#target, abort.signal).then(() => end(null), end);
  }

  #onResult(error: unknown): void {
    this.#isChecked = true;
    if (error !== null && isOwnShortage(error, this.isUp === true)) return;
    const hasPassed = error === null;
    const isRecovery = hasPassed && this.#verdict.isFailing;
    if (this.#verdict.record(hasPassed, this.#target.check)) {
      this.#owner.onVerdict(this, hasPassed, hasPassed ? "its health check passes" : reasonOf(error));
    }
    if (isRecovery) this.#owner.onRecovery(this);
  }

  /** From the beginning of one check to that of the next is one interval, or less. */
  #untilNext(startedAtMs: number): number {
    const periodMs = this.#target.check.interval * (1 - JITTER * this.#owner.random());
    return Math.max(0, startedAtMs + periodMs - this.#owner.now());
  }

  #enter(state: State): void {
    const before = this.#state;
    this.#state = state;
    if (before.kind === "paused") clearTimeout(before.timer);
    if (before.kind === "running") {
      clearTimeout(before.timeout);
      // One that is over has nothing left to end.
      before.abort.abort(new Error("the check is given up"));
    }
    if (state.kind !== "running" && (before.kind === "due" || before.kind === "running")) {
      this.#owner.onDone(this);
    }
  }
}

/** Whatever else of a backend changes, such as its weight, is nothing to its check. */
function isSameCheck(before: CheckTarget, after: CheckTarget): boolean {
  return (
    before.config.url === after.config.url &&
    isDeepStrictEqual([before.check, before.config.tls], [after.check, after.config.tls])
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Where several addresses were tried, Node's error has a code only.
  return error.message || ("code" in error ? String(error.code) : error.name);
}
