// What a test opened and must be closed after it: last opened, first closed; then leak-check.ts looks.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach } from "vitest";

import { checkLeaksAfterEachTest } from "./leak-check.ts";
import { within } from "./until.ts";

type Cleanup = () => void | Promise<void>;

const cleanups: { readonly what: string; readonly run: Cleanup }[] = [];

checkLeaksAfterEachTest();

afterEach(async () => {
  const failures: unknown[] = [];
  for (let next = cleanups.pop(); next !== undefined; next = cleanups.pop()) {
    const { what, run } = next;
    await within(`cleaning up ${what}`, call(run)).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw new AggregateError(failures, `clean-up failed: ${failures.join("; ")}`);
});

/** Runs `run` after the current test, before what was registered earlier. It must bear a second call. */
export function onCleanup(what: string, run: Cleanup): void {
  cleanups.push({ what, run });
}

/** An empty folder that is removed after the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "weir-test-"));
  onCleanup(`the folder ${folder}`, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

// Turns a throw into a rejection, as one of `run` must not keep the others from running.
async function call(run: Cleanup): Promise<void> {
  await run();
}
