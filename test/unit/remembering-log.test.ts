import { expect, test } from "vitest";

import { RememberingLog } from "../../src/remembering-log.ts";
import { recordingLog } from "../support/recording-log.ts";

function remembered(log: RememberingLog): unknown[] {
  return log.recent.after(0, 100).map((text) => (JSON.parse(text) as { message: unknown }).message);
}

test("hands every line on, and remembers those of its level", () => {
  const written: unknown[] = [];
  const log = new RememberingLog(
    recordingLog((...line) => void written.push(line)),
    { level: "warn" },
  );
  log.debug("a");
  log.info("b", { n: 1 });
  log.warn("c");
  log.error("d");
  expect(written).toEqual([
    ["debug", "a", {}],
    ["info", "b", { n: 1 }],
    ["warn", "c", {}],
    ["error", "d", {}],
  ]);
  expect(remembered(log)).toEqual(["c", "d"]);
});

test("follows a level that a reload changes, and remembers nothing with silent", () => {
  const log = new RememberingLog(
    recordingLog(() => {}),
    { level: "silent" },
  );
  log.error("a");
  log.configure({ level: "trace", format: "json" });
  log.debug("b");
  expect(remembered(log)).toEqual(["b"]);
});
