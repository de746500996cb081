// A takeover in which one of the two processes hangs: the old one waits for the new one no longer than a few
// seconds, and goes on; the new one takes no place that it was too late for.
import process from "node:process";
import { describe, expect, test } from "vitest";

import type { SpawnedWeir } from "../support/spawn-weir.ts";
import {
  addressesOf,
  expectUntouched,
  openAs,
  playOldWeir,
  setUpTakeover,
  type TakeoverSetup,
} from "../support/takeover.ts";
import type { WsClient } from "../support/ws-client.ts";

const stopsItself = new URL("../support/stops-itself.ts", import.meta.url);

interface Hanging {
  readonly setup: TakeoverSetup;
  readonly old: SpawnedWeir;
  /** One of the old process's clients. */
  readonly before: WsClient;
  readonly young: SpawnedWeir;
}

/** A new process that has stopped with the old one's admin address in its hands, and was given up by that. */
async function hangInTakeover(): Promise<Hanging> {
  const setup = await setUpTakeover();
  const old = await setup.start();
  const before = await openAs(old, "ann");
  const { port } = new URL(old.adminUrl);
  const env = { NODE_OPTIONS: `--import=${stopsItself.href}`, WEIR_TEST_STOPS_AT: port };
  const young = await setup.spawn(addressesOf(old), ["--takeover"], env);
  await old.untilPrinted(/another process takes over/);
  await old.untilPrinted(/the process that is taking over hangs/);
  await old.untilPrinted(/given up; this one goes on/);
  expect(young.hasExited).toBe(false);
  expect(await before.ask("still here")).toBe("still here");
  return { setup, old, before, young };
}

describe("a new process that hangs as it takes over", () => {
  test("is given up; once it is killed, all is as if nothing had happened", async () => {
    const { setup, old, before, young } = await hangInTakeover();
    young.signal("SIGKILL");
    expect(await young.exited()).toEqual({ code: null, signal: "SIGKILL" });
    await expectUntouched(setup, old, before);
  });

  test("ends by itself where it goes on later", async () => {
    const { setup, old, before, young } = await hangInTakeover();
    young.signal("SIGCONT");
    expect(await young.exited()).toEqual({ code: 71, signal: null });
    expect(young.stderr).toContain(`the Weir with pid ${old.process.pid} did not wait to be replaced`);
    await expectUntouched(setup, old, before);
  });
});

describe("a new process whose conversation is ended", () => {
  test("ends where the old one is still there", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const { talk } = await playOldWeir(pidFile);
    const young = await spawn({}, ["--takeover"]);
    const old = await talk;
    await old.hear();
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    old.say("yielded");
    old.leave();
    expect(await young.exited()).toEqual({ code: 71, signal: null });
    expect(young.listeners).toEqual([]);
  });

  test("takes its place where that one is gone", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const { talk, end } = await playOldWeir(pidFile);
    const young = await spawn({}, ["--takeover"]);
    const old = await talk;
    await old.hear();
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    await end();
    old.leave();
    await young.untilListening(1);
    await openAs(young, "ann");
  });
});

test("an old process that hangs is not replaced, and goes on once it can", async () => {
  const setup = await setUpTakeover();
  const old = await setup.start();
  const before = await openAs(old, "ann");
  old.signal("SIGSTOP");
  const young = await setup.spawn(addressesOf(old), ["--takeover"]);
  expect((await young.exited()).code).toBe(71);
  expect(young.stdout).toContain(`the Weir with pid ${old.process.pid} does not answer`);
  old.signal("SIGCONT");
  await expectUntouched(setup, old, before);
});
