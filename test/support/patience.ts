// A thread that is asked by the control plane has all the time that it needs. Weir goes on without one that has
// not answered in time, which on a machine with much to do may be any.
import { vi } from "vitest";

import { Questions } from "../../src/control-plane/questions.ts";
import { onCleanup } from "./cleanup.ts";

const PATIENCE_MS = 20_000;

/** For each Weir of this process, to the end of the test. */
export function waitForThreads(): void {
  const ask = Reflect.get(Questions.prototype, "ask");
  const spy = vi.spyOn(Questions.prototype, "ask").mockImplementation(function (
    this: Questions,
    thread,
    question,
  ) {
    return Reflect.apply(ask, this, [thread, question, PATIENCE_MS]);
  });
  onCleanup("the patience with threads", () => spy.mockRestore());
}
