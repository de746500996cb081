// A running Weir and how long it waits for the one that is to take its place: over a real socket, as that is all
// that the two have in common.
import { join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";

import { Incumbent } from "../../../../src/control-plane/takeover/incumbent.ts";
import { onCleanup, temporaryFolder } from "../../../support/cleanup.ts";
import { recordingLog } from "../../../support/recording-log.ts";
import { talkTo } from "../../../support/takeover.ts";
import { until } from "../../../support/until.ts";

const hello = { weir: "takeover", version: 1, pid: 1 };

interface Running {
  readonly pidFile: string;
  readonly told: string[];
}

async function run(patience: { readonly beginMs: number; readonly handOverMs: number }): Promise<Running> {
  const pidFile = join(await temporaryFolder(), "weir.pid");
  const told: string[] = [];
  const tell = (what: string) => async (): Promise<void> => void told.push(what);
  const incumbent = new Incumbent({
    log: recordingLog((level, message) => void told.push(`${level}: ${message}`)),
    facts: () => ({ listeners: [], admin: null }),
    // More than fits into a socket that nobody reads.
    records: () => [{ kind: "bans", bans: Array.from({ length: 100_000 }, (_, i) => [`user-${i}`, 1]) }],
    giveUp: tell("gives up"),
    takeBack: tell("takes back"),
    onReplaced: () => void told.push("replaced"),
    patience,
  });
  await incumbent.configure(pidFile);
  onCleanup("the incumbent", () => incumbent.leave());
  return { pidFile, told };
}

const hangs = expect.stringMatching(/^error: the process that is taking over hangs/);

test("one that never begins is sent away, and another may come", async () => {
  const { pidFile, told } = await run({ beginMs: 50, handOverMs: 60_000 });
  const young = await talkTo(pidFile);
  young.say(hello);
  expect(await young.hearJson()).toMatchObject({ pid: process.pid });
  expect(await young.hear()).toBeUndefined();
  expect(told).toEqual([hangs]);
  const next = await talkTo(pidFile);
  next.say(hello);
  expect(await next.hearJson()).toMatchObject({ pid: process.pid });
});

test("one that begins and reads nothing is sent away, and what was given up is taken back", async () => {
  const { pidFile, told } = await run({ beginMs: 60_000, handOverMs: 100 });
  const young = await talkTo(pidFile);
  young.say(hello);
  await young.hear();
  young.pause();
  young.say("begin");
  await until("it goes on", () => told.includes("takes back"));
  expect(told).toEqual([
    "info: another process takes over",
    "gives up",
    hangs,
    expect.stringMatching(/^debug: takeover broken off/),
    expect.stringMatching(/^warn: .* given up; this one goes on$/),
    "takes back",
  ]);
});
