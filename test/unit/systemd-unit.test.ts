// docs/operations/weir@.service, against what it is written for: its commands are Weir's, and systemd waits
// longer for the end than Weir takes.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { parseCommandLine } from "../../src/command-line.ts";
import { parseConfig } from "../../src/config/load.ts";
import { ExitCode } from "../../src/errors.ts";

const lines = readFileSync(new URL("../../docs/operations/weir@.service", import.meta.url), "utf8").split(
  "\n",
);

const valuesOf = (key: string): string[] =>
  lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));

function argumentsOf(command: string | undefined): string[] {
  const [program, ...args] = command?.split(" ") ?? [];
  expect(program).toBe("/usr/local/bin/weir");
  return args;
}

test("a start takes over, a reload checks the same file before its signal, and a stop is SIGTERM", () => {
  const file = "/etc/weir/weir.yaml";
  const run = { name: "run", source: { kind: "file", file }, takesOver: true };
  expect(valuesOf("ExecStart").map((line) => parseCommandLine(argumentsOf(line)))).toEqual([run]);
  const [check, signal, ...others] = valuesOf("ExecReload");
  expect(parseCommandLine(argumentsOf(check))).toEqual({ name: "check", file });
  expect([signal, others]).toEqual(["/bin/kill -HUP $MAINPID", []]);
  expect(valuesOf("KillSignal")).toEqual(["SIGTERM"]);
});

test("systemd waits longer than shutdown.timeout, and tries no bad configuration again", () => {
  const loaded = parseConfig({ listeners: [":8080"], pools: { chat: { backends: ["ws://127.0.0.1:1"] } } });
  if (!loaded.ok) throw new Error("the smallest configuration is not valid");
  const [seconds] = valuesOf("TimeoutStopSec").map(Number);
  expect(seconds).toBeGreaterThan(loaded.config.shutdown.timeout / 1_000);
  expect(valuesOf("RestartPreventExitStatus")).toEqual([String(ExitCode.usage)]);
});
