// What a restart carries over, from one process's live state to the next one's.
import { beforeEach, describe, expect, test, vi } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import { Bans } from "../../../src/control-plane/bans.ts";
import { Fleet } from "../../../src/control-plane/fleet.ts";
import { LiveState } from "../../../src/control-plane/live-state.ts";
import type { StateRecord } from "../../../src/control-plane/state-format.ts";
import type { Config } from "../../../src/config/schema.ts";
import { onCleanup } from "../../support/cleanup.ts";
import { recordingLog } from "../../support/recording-log.ts";

const HOUR_MS = 3_600_000;
const started = Date.UTC(2026, 0, 1);

/** One process: its clock begins at zero. */
class Process {
  nowMs = 0;
  readonly bans = new Bans();
  readonly fleet: Fleet;
  readonly state: LiveState;

  constructor(config: Config = twoPools()) {
    const now = (): number => this.nowMs;
    this.fleet = new Fleet({
      log: recordingLog(() => {}),
      now,
      openOn: () => [],
      close: () => {},
      onRoom: () => {},
    });
    onCleanup("a fleet", () => this.fleet.stop());
    this.fleet.configure(config);
    this.state = new LiveState({ fleet: this.fleet, bans: this.bans, now });
  }

  /** Time passes, for this process and outside. */
  pass(ms: number): void {
    this.nowMs += ms;
    vi.setSystemTime(Date.now() + ms);
  }

  findOf(user: string, pool = "chat"): string | null | undefined {
    return this.fleet.pools.find(pool)?.affinity.find(user, this.nowMs);
  }
}

/** Nothing is looked up or checked. */
function twoPools(chat: Record<string, unknown> = {}): Config {
  const backends = ["a", "b"].map((id) => ({ id, url: "ws://127.0.0.1:1" }));
  const common = { healthCheck: "off", backends };
  const result = parseConfig({
    listeners: ["127.0.0.1:0"],
    pools: { chat: { ...common, affinity: { by: "user", ttl: "1h" }, ...chat }, game: common },
    routes: [{ match: { path: "/game" }, pool: "game" }, { pool: "chat" }],
  });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

/** As if it had gone through the file. */
function carry(from: Process, to: Process): ReturnType<LiveState["restore"]> {
  const text = JSON.stringify([...from.state.records()]);
  return to.state.restore(JSON.parse(text) as StateRecord[]);
}

let before: Process;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: started });
  before = new Process();
});

describe("affinity", () => {
  test("goes on where it was, and the time in between counts", () => {
    const chat = before.fleet.pools.find("chat");
    before.pass(1_000);
    chat?.affinity.touch("ann", "a", before.nowMs);
    before.pass(HOUR_MS / 2);
    chat?.affinity.touch("bob", "b", before.nowMs);
    chat?.affinity.hold("dora", "b");
    const records = [...before.state.records()];
    vi.setSystemTime(Date.now() + HOUR_MS / 4);
    const after = new Process();
    expect(after.state.restore(records)).toEqual({ backends: 0, bans: 0, affinity: 3 });
    expect(["ann", "bob", "dora"].map((user) => after.findOf(user))).toEqual(["a", "b", "b"]);
    after.pass(HOUR_MS / 4);
    expect(["ann", "bob", "dora"].map((user) => after.findOf(user))).toEqual([null, "b", "b"]);
    after.pass(HOUR_MS / 2);
    expect(["ann", "bob", "dora"].map((user) => after.findOf(user))).toEqual([null, null, null]);
  });

  test("is swept in the order of last use", () => {
    const chat = before.fleet.pools.find("chat");
    for (const user of ["ann", "bob", "dora"]) chat?.affinity.hold(user, "a");
    for (const user of ["dora", "ann", "bob"]) {
      before.pass(1_000);
      chat?.affinity.release(user, before.nowMs);
    }
    const after = new Process();
    carry(before, after);
    const table = after.fleet.pools.find("chat")?.affinity;
    after.pass(HOUR_MS - 1_500);
    table?.sweep(after.nowMs, 100);
    expect(Array.from(table?.entries() ?? [], ({ user }) => user).toSorted()).toEqual(["ann", "bob"]);
  });

  test("is nobody's from the future, where the wall clock was set back", () => {
    before.fleet.pools.find("chat")?.affinity.touch("ann", "a", 0);
    const records = [...before.state.records()];
    vi.setSystemTime(started - 10 * HOUR_MS);
    const after = new Process();
    after.state.restore(records);
    after.pass(HOUR_MS - 1);
    expect(after.findOf("ann")).toBe("a");
    after.pass(1);
    expect(after.findOf("ann")).toBeNull();
  });

  test("of a pool that is gone, or does without, is left out", () => {
    before.fleet.pools.find("chat")?.affinity.touch("ann", "a", 0);
    const after = new Process(twoPools({ affinity: "off" }));
    expect(carry(before, after)).toMatchObject({ affinity: 0 });
    const records: StateRecord[] = [{ kind: "affinity", pool: "gone", entries: [["ann", "a", started]] }];
    expect(after.state.restore(records)).toMatchObject({ affinity: 0 });
  });
});

describe("bans", () => {
  test("end when they would have; those that are over are left out", () => {
    before.bans.ban("eve", 10_000);
    before.bans.ban("mallory", 3_000);
    const records = [...before.state.records()];
    vi.setSystemTime(started + 4_000);
    const after = new Process();
    expect(after.state.restore(records)).toEqual({ backends: 0, bans: 1, affinity: 0 });
    expect(after.bans.isBanned("eve", 5_999)).toBe(true);
    expect(after.bans.isBanned("eve", 6_000)).toBe(false);
    expect(after.bans.isBanned("mallory", 0)).toBe(false);
  });

  test("say who made them and why, as before", () => {
    before.bans.ban("eve", 10_000);
    before.bans.set("mallory", { untilMs: 10_000, by: "admin", reason: "spam" });
    before.bans.set("trudy", { untilMs: 10_000, by: "admin", reason: null });
    const after = new Process();
    expect(carry(before, after)).toMatchObject({ bans: 3 });
    expect(after.bans.find("eve", 0)).toMatchObject({ by: "abuse", reason: null });
    expect(after.bans.find("mallory", 0)).toMatchObject({ by: "admin", reason: "spam" });
    expect(after.bans.find("trudy", 0)).toMatchObject({ by: "admin", reason: null });
  });
});

describe("what an operator has set", () => {
  test("holds, and nothing is kept of backends that nobody touched", () => {
    before.fleet.set("chat", "a", { state: "draining", capacity: 5 });
    before.fleet.set("game", "b", { weight: 7 });
    const after = new Process();
    expect(carry(before, after)).toEqual({ backends: 2, bans: 0, affinity: 0 });
    expect(after.fleet.find("chat", "a")?.backend).toMatchObject({
      operatorState: "draining",
      weightSet: null,
      capacitySet: 5,
      isReady: false,
    });
    expect(after.fleet.find("game", "b")?.backend).toMatchObject({ operatorState: "active", weightSet: 7 });
    expect([...after.state.records()]).toEqual([...before.state.records()]);
  });

  test("waits for a backend that is not there, and is kept meanwhile", () => {
    before.fleet.set("chat", "b", { state: "down" });
    const without = twoPools({ backends: [{ id: "a", url: "ws://127.0.0.1:1" }] });
    const after = new Process(without);
    carry(before, after);
    expect([...after.state.records()]).toEqual([...before.state.records()]);
    after.fleet.configure(twoPools());
    expect(after.fleet.find("chat", "b")?.backend.operatorState).toBe("down");
    // Once it has it, it is the operator's again.
    after.fleet.set("chat", "b", { state: "active" });
    after.fleet.configure(twoPools());
    expect(after.fleet.find("chat", "b")?.backend.operatorState).toBe("active");
    expect([...after.state.records()]).toEqual([]);
  });
});
