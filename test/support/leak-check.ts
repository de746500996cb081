// Asserts that no socket, server, timer, child process or worker thread of a test is left after it.
// On in every file that uses something of test/support that can be left open, through cleanup.ts.
import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";

import { afterEach, beforeEach } from "vitest";

import { until } from "./until.ts";

type ResourceCounts = Record<string, number>;

/**
 * Asserts it after each test of the file that calls this. vitest runs these hooks last registered
 * first: registered before a clean-up's own, it sees what the clean-up leaves.
 */
export function checkLeaksAfterEachTest(): void {
  let before: ResourceCounts = {};
  beforeEach(() => {
    before = countResources();
  });
  afterEach(async () => {
    await expectNoMoreResourcesThan(before);
  });
}

/**
 * Counts what keeps a process alive, by kind: Node's own list for this thread, and, where /proc is,
 * the sockets and event loops of the whole process, so that those of worker threads count too.
 */
export function countResources(): ResourceCounts {
  const counts: ResourceCounts = {};
  const add = (kind: string) => {
    counts[kind] = (counts[kind] ?? 0) + 1;
  };
  for (const kind of process.getActiveResourcesInfo()) add(kind);
  for (const target of openFileTargets()) {
    if (target.startsWith("socket:")) add("open socket (all threads)");
    if (target === "anon_inode:[eventpoll]") add("event loop (all threads)");
  }
  return counts;
}

/** Waits until every kind is back at its earlier count: closing is asynchronous, leaking is for ever. */
export async function expectNoMoreResourcesThan(
  earlier: ResourceCounts,
  options: { readonly deadlineMs?: number } = {},
): Promise<void> {
  let excess: string[] = [];
  const isSettled = () => {
    excess = Object.entries(countResources())
      .filter(([kind, count]) => count > (earlier[kind] ?? 0))
      .map(([kind, count]) => `${kind}: ${count}, before the test ${earlier[kind] ?? 0}`);
    return excess.length === 0;
  };
  await until("everything that the test opened is closed again", isSettled, options).catch(
    (error: unknown) => {
      throw new Error(`the test leaks: ${excess.join("; ")}`, { cause: error });
    },
  );
}

function openFileTargets(): string[] {
  try {
    return readdirSync("/proc/self/fd").map(readTarget);
  } catch {
    return [];
  }
}

// A descriptor may be closed between the listing and the reading (the listing's own always is).
function readTarget(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return "";
  }
}
