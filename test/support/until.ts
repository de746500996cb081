// Waiting in tests: poll a condition, or bound a promise, both with a deadline whose error says what
// was awaited and what was last seen. Nothing here is a pause for its own sake.
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";

/** Tells a hang from a slow machine, which may well be ten times as slow as an idle one. */
const defaultDeadlineMs = 25_000;
const pollEveryMs = 10;

export interface WaitOptions {
  readonly deadlineMs?: number;
}

/** What `until` hands back: the probe's value without those that mean "not yet". */
type Found<T> = Exclude<T, undefined | null | false>;

/**
 * Calls `probe` until it returns something other than undefined, null or false, and returns that.
 * A probe that throws is asked again; its last error is the cause when the deadline passes.
 */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Found<T>> {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const seen = await attempt(probe);
    if (seen.kind === "value" && isFound(seen.value)) return seen.value;
    if (performance.now() >= endMs) {
      const last = seen.kind === "value" ? inspect(seen.value) : `the error ${String(seen.error)}`;
      throw new Error(`not within ${deadlineMs} ms: ${what}; last seen: ${last}`, {
        cause: seen.kind === "error" ? seen.error : undefined,
      });
    }
    await delay(pollEveryMs);
  }
}

/** Like `until`, for a value that is to become equal to `expected`; the error shows the last one. */
export async function untilEqual<T>(
  what: string,
  expected: T,
  read: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<void> {
  let last: T | undefined;
  const isEqual = async () => Object.is((last = await read()), expected);
  await until(`${what} is ${inspect(expected)}`, isEqual, options).catch((error: unknown) => {
    throw new Error(`${String(error)} (value: ${inspect(last)})`, { cause: error });
  });
}

/** Settles as `promise` does, or rejects once the deadline has passed; `what` may look at state then. */
export async function within<T>(
  what: string | (() => string),
  promise: Promise<T>,
  options: WaitOptions = {},
): Promise<T> {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs;
  const { promise: passed, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new Error(`not within ${deadlineMs} ms: ${typeof what === "string" ? what : what()}`));
  }, deadlineMs);
  try {
    return await Promise.race([promise, passed]);
  } finally {
    clearTimeout(timer);
  }
}

type Attempt<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "error"; readonly error: unknown };

async function attempt<T>(probe: () => T | Promise<T>): Promise<Attempt<T>> {
  try {
    return { kind: "value", value: await probe() };
  } catch (error) {
    return { kind: "error", error };
  }
}

function isFound<T>(value: T): value is Found<T> {
  return value !== undefined && value !== null && value !== false;
}
