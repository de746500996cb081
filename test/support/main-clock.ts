// The clock of the main thread, set ahead: there, and nowhere else, time seems to have passed. For what
// would take minutes to come about: bans that end, connections that have been silent for long.
import process from "node:process";

import { vi } from "vitest";

import { onCleanup } from "./cleanup.ts";

const realNow = process.hrtime.bigint.bind(process.hrtime);

/**
 * Bans, silence and the pace are measured by it; timers are not. A second call replaces the first; set back
 * after the test.
 */
export function setMainClockAhead(byMs: number): void {
  const spy = vi.spyOn(process.hrtime, "bigint");
  spy.mockImplementation(() => realNow() + BigInt(byMs) * 1_000_000n);
  onCleanup("the clock of the main thread", () => spy.mockRestore());
}
