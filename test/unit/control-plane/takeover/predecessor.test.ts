// The last step of a takeover, as the new process sees it: who was given up meanwhile takes nobody's place. Over a
// real socket, as that is all that the two have in common.
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Predecessor } from "../../../../src/control-plane/takeover/predecessor.ts";
import { temporaryFolder } from "../../../support/cleanup.ts";
import { playOldWeir, type TakeoverTalk } from "../../../support/takeover.ts";

const tooLate = expect.objectContaining({
  exitCode: 71,
  message: `too late: the Weir with pid ${process.pid} did not wait to be replaced, and goes on`,
});

let passedMs: number;

beforeEach(() => {
  passedMs = 0;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + passedMs);
});

afterEach(() => vi.restoreAllMocks());

interface Found {
  readonly predecessor: Predecessor;
  readonly old: TakeoverTalk;
  /** Nobody answers at the old one's path any more. */
  readonly end: () => Promise<void>;
}

/** A new process that has all that it asked for. */
async function begin(): Promise<Found> {
  const { predecessor, old, end } = await find();
  const beginning = predecessor.begin();
  expect(await old.hear()).toBe("begin");
  old.say("yielded");
  await beginning;
  await predecessor.assertWaiting();
  return { predecessor, old, end };
}

async function find(): Promise<Found> {
  const pidFile = join(await temporaryFolder(), "weir.pid");
  const { talk, end } = await playOldWeir(pidFile);
  const finding = Predecessor.find(pidFile);
  const old = await talk;
  await old.hear();
  old.say({ pid: process.pid, listeners: [], admin: null });
  const { predecessor } = await finding;
  if (predecessor === null) throw new Error("nobody was found");
  return { predecessor, old, end };
}

test("an old one that waits hears that it is replaced", async () => {
  const { predecessor, old } = await begin();
  passedMs = 4_500;
  await predecessor.dismiss();
  expect(await old.hear()).toBe("done");
  expect(await old.hear()).toBeUndefined();
});

test("one that has given the new one up is not replaced", async () => {
  const { predecessor, old } = await begin();
  passedMs = 5_000;
  old.leave();
  await expect(predecessor.dismiss()).rejects.toEqual(tooLate);
});

test("one that has gone before it could give anyone up is replaced", async () => {
  const { predecessor, old } = await begin();
  old.leave();
  await expect(predecessor.dismiss()).resolves.toBeUndefined();
});

test("one that was known to be gone is replaced, however late", async () => {
  const { predecessor, old, end } = await begin();
  await end();
  old.leave();
  passedMs = 5_000;
  await predecessor.assertWaiting();
  await expect(predecessor.dismiss()).resolves.toBeUndefined();
});

test("one that goes before it has read what it was asked is replaced", async () => {
  const { predecessor, old, end } = await find();
  await end();
  old.pause();
  const beginning = predecessor.begin();
  old.leave();
  await beginning;
  expect(await predecessor.inherit()).toMatchObject({ records: [], lacks: expect.any(String) });
  await predecessor.assertWaiting();
  await predecessor.dismiss();
});
