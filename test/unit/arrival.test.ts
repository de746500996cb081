// The last steps of a takeover, beside an old Weir that the test plays.
import { join } from "node:path";
import process from "node:process";
import { afterEach, expect, test, vi } from "vitest";

import { arrive } from "../../src/arrival.ts";
import { HeldMessages } from "../../src/control-plane/takeover/held-messages.ts";
import { Channel, type ToWorker } from "../../src/shared-memory/channel.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { recordingLog } from "../support/recording-log.ts";
import { playOldWeir, type TakeoverTalk } from "../support/takeover.ts";
import { configOfPools } from "./control-plane/config-of-pools.ts";

const CLIENT = { type: "dial-retried", pool: "chat" } as const;

afterEach(() => vi.restoreAllMocks());

/** A new process, and the old one that it asks for the state. */
async function takeOver(assume: (old: TakeoverTalk) => Promise<void>) {
  const pidFile = join(await temporaryFolder(), "weir.pid");
  const { talk } = await playOldWeir(pidFile);
  const happened: string[] = [];
  const heldMessages = new HeldMessages(() => void happened.push("a client is heard"));
  const thread = { serial: 1, index: 0, channel: new Channel<ToWorker>({ postMessage: () => {} }) };
  const arrived = arrive({
    config: { ...configOfPools({ chat: { backends: [{ id: "a" }] } }), pidFile },
    takesOver: true,
    ending: new AbortController().signal,
    files: new Map(),
    log: recordingLog(() => {}),
    workers: {
      start: async () => {},
      listen: async () => {
        heldMessages.onMessage(thread, CLIENT);
        return [];
      },
      publish: async () => void happened.push("published"),
    },
    fleet: { configure: () => {}, isFirstRoundOver: true },
    admin: null,
    incumbent: {
      configure: async () => {},
      prepare: async () => {},
      assume: async () => {
        happened.push("assumed");
        await assume(await talk);
      },
    },
    heldMessages,
    stateFile: { load: async () => [] },
    state: { restore: () => ({ backends: 0, bans: 0, affinity: 0 }) },
  });
  const old = await talk;
  await old.hear();
  old.say({ pid: process.pid, listeners: [], admin: null });
  expect(await old.hear()).toBe("begin");
  old.say("yielded");
  old.say("no state");
  return { arrived, happened };
}

test("a new process that was given up as it took its pidFile ends, and has heard no client", async () => {
  const { arrived, happened } = await takeOver(async (old) => {
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 5_000);
    old.leave();
  });
  await expect(arrived).rejects.toMatchObject({ exitCode: 71 });
  expect(happened).toEqual(["assumed", "published"]);
});
