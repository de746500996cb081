// A running Weir and how long it waits for the one that is to take its place: over a real socket, as that is all
// that the two have in common.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";

import { socketPathOf } from "../../../../src/control-plane/takeover/conversation.ts";
import { Incumbent } from "../../../../src/control-plane/takeover/incumbent.ts";
import { isServed } from "../../../../src/unix-socket.ts";
import { onCleanup, temporaryFolder } from "../../../support/cleanup.ts";
import { recordingLog } from "../../../support/recording-log.ts";
import { talkTo, type TakeoverTalk } from "../../../support/takeover.ts";
import { until } from "../../../support/until.ts";

const hello = { weir: "takeover", version: 1, pid: 1 };

interface Running {
  readonly pidFile: string;
  readonly told: string[];
}

interface Patience {
  readonly beginMs: number;
  readonly handOverMs: number;
}

async function run(patience: Patience): Promise<Running> {
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

/** A newer process that begins, and reads nothing of what comes then. */
async function beginUnread(pidFile: string): Promise<TakeoverTalk> {
  const young = await talkTo(pidFile);
  young.say(hello);
  await young.hear();
  young.pause();
  young.say("begin");
  return young;
}

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
  await beginUnread(pidFile);
  await until("it goes on", () => told.includes("takes back"));
  expect(told).toEqual([
    "info: another process takes over",
    "gives up",
    hangs,
    expect.stringMatching(/^debug: the state was not handed over whole/),
    expect.stringMatching(/^warn: .* given up; this one goes on$/),
    "takes back",
  ]);
});

test("one that goes and leaves the state unread is given up", async () => {
  const { pidFile, told } = await run({ beginMs: 60_000, handOverMs: 60_000 });
  const young = await beginUnread(pidFile);
  await until("it hands over", () => told.includes("gives up"));
  young.leave();
  await until("it goes on", () => told.includes("takes back"));
  expect(told).not.toContainEqual(hangs);
});

// A newer process that was given up asks there whether it is too late, at any moment.
test("somebody answers at its socket all the while as it takes its place back", async () => {
  const { pidFile } = await run({ beginMs: 60_000, handOverMs: 60_000 });
  const path = socketPathOf(pidFile);
  const young = await talkTo(pidFile);
  young.say(hello);
  await young.hear();
  const { ino } = await stat(path);
  young.say("begin");
  young.leave();
  const answers = new Set<boolean>();
  await until("it has a new socket", async () => {
    for (let looks = 0; looks < 100; looks += 1) answers.add(await isServed(path));
    return (await stat(path)).ino !== ino;
  });
  expect([...answers]).toEqual([true]);
});

test("one that is done is there, however little it has read of the state", async () => {
  const { pidFile, told } = await run({ beginMs: 60_000, handOverMs: 60_000 });
  const young = await beginUnread(pidFile);
  young.say("done");
  await until("it is replaced", () => told.includes("replaced"));
  expect(told).not.toContain("takes back");
});

test("one that is done in time is heard by one that was held up until its time was over", async () => {
  const handOverMs = 2_000;
  const { pidFile, told } = await run({ beginMs: 60_000, handOverMs });
  const young = await talkTo(pidFile);
  young.say(hello);
  await young.hear();
  young.say("begin");
  let line: string | undefined = "";
  while (line !== "]}") line = await young.hear();
  // What comes after this turn's immediates is the turn of the timers, and only then that of the sockets.
  await setImmediate();
  young.say("done");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, handOverMs);
  await until("it has decided", () => told.some((what) => what === "replaced" || what === "takes back"));
  expect(told).toEqual(["info: another process takes over", "gives up", "info: taken over", "replaced"]);
});
