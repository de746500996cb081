import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { type AffinityEntry, AffinityTable } from "../../../src/control-plane/affinity.ts";

const TTL_MS = 100;
const MAX_ENTRIES = 4;

type Affinity = Pick<AffinityTable, "find" | "hold" | "release" | "touch" | "forget" | "sweep">;

/** What the table is to remember, kept the slow way. */
class NaiveAffinity implements Affinity {
  users: { user: string; backend: string | null; connections: number; idleSinceMs: number }[] = [];

  connectionsOf(user: string): number {
    return this.users.find((each) => each.user === user)?.connections ?? 0;
  }

  find(user: string, nowMs: number): string | null {
    this.users = this.users.filter((each) => each.user !== user || !isOver(each, nowMs));
    return this.users.find((each) => each.user === user)?.backend ?? null;
  }

  hold(user: string, backend: string): void {
    const { connections } = this.#take(user);
    this.#put({ user, backend, connections: connections + 1, idleSinceMs: 0 });
  }

  release(user: string, nowMs: number): void {
    const { backend, connections } = this.#take(user);
    if (connections > 1 || backend !== null) {
      this.#put({ user, backend, connections: connections - 1, idleSinceMs: nowMs });
    }
  }

  touch(user: string, backend: string, nowMs: number): void {
    const { connections } = this.#take(user);
    this.#put({ user, backend, connections, idleSinceMs: nowMs });
  }

  forget(user: string): void {
    const { connections } = this.#take(user);
    if (connections > 0) this.#put({ user, backend: null, connections, idleSinceMs: 0 });
  }

  sweep(nowMs: number): void {
    this.users = this.users.filter((each) => !isOver(each, nowMs));
  }

  /** The order of this list is that of the last use. */
  #put(entry: (typeof this.users)[number]): void {
    this.users.push(entry);
    const oldestIdle = this.users.findIndex(({ connections }) => connections === 0);
    if (this.users.length > MAX_ENTRIES && oldestIdle !== -1) this.users.splice(oldestIdle, 1);
  }

  #take(user: string): { backend: string | null; connections: number } {
    const known = this.users.find((each) => each.user === user);
    this.users = this.users.filter((each) => each !== known);
    return known ?? { backend: null, connections: 0 };
  }
}

function isOver(
  { connections, idleSinceMs }: { connections: number; idleSinceMs: number },
  nowMs: number,
): boolean {
  return connections === 0 && nowMs - idleSinceMs >= TTL_MS;
}

function tableOf(ttlMs = TTL_MS, maxEntries = MAX_ENTRIES): AffinityTable {
  const table = new AffinityTable(maxEntries);
  table.configure(ttlMs);
  return table;
}

interface Event {
  readonly user: string;
  readonly backend: string;
  readonly nowMs: number;
}

const ACTS = {
  find: (table: Affinity, { user, nowMs }: Event) => table.find(user, nowMs),
  hold: (table: Affinity, { user, backend }: Event) => table.hold(user, backend),
  release: (table: Affinity, { user, nowMs }: Event) => table.release(user, nowMs),
  touch: (table: Affinity, { user, backend, nowMs }: Event) => table.touch(user, backend, nowMs),
  forget: (table: Affinity, { user }: Event) => table.forget(user),
  sweep: (table: Affinity, { nowMs }: Event) => table.sweep(nowMs, 100),
};

const step = fc.record({
  act: fc.constantFrom("find", "hold", "release", "touch", "forget", "sweep"),
  user: fc.constantFrom("ann", "bob", "carl", "dora", "eve", "fred", "gus"),
  backend: fc.constantFrom("b1", "b2", "b3"),
  afterMs: fc.oneof(fc.constant(0), fc.nat(60)),
});

describe("the affinity of users", () => {
  test("is what a table without any cleverness would remember, after any course of events", () => {
    const property = fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = tableOf();
      const naive = new NaiveAffinity();
      let nowMs = 0;
      for (const { act, user, backend, afterMs } of steps) {
        nowMs += afterMs;
        // The caller gives back what it holds, and no more.
        if (act === "release" && naive.connectionsOf(user) === 0) continue;
        const happen = ACTS[act];
        expect(happen(table, { user, backend, nowMs })).toBe(happen(naive, { user, backend, nowMs }));
        expect(table.size).toBe(naive.users.length);
        expect(entriesOf(table)).toEqual(entriesOfNaive(naive));
      }
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("holds while a connection is open, and for the time after the last one", () => {
    const table = tableOf();
    table.hold("ann", "b1");
    table.hold("ann", "b1");
    table.release("ann", 1_000);
    expect(table.find("ann", 1_000_000)).toBe("b1");
    table.release("ann", 1_000_000);
    expect(table.find("ann", 1_000_000 + TTL_MS - 1)).toBe("b1");
    expect(table.find("ann", 1_000_000 + TTL_MS)).toBeNull();
    expect(table.size).toBe(0);
  });

  test("is prolonged by plain requests, and moves with them and with new connections", () => {
    const table = tableOf();
    table.touch("ann", "b1", 0);
    table.touch("ann", "b1", 90);
    expect(table.find("ann", 150)).toBe("b1");
    table.touch("ann", "b2", 150);
    expect(table.find("ann", 150)).toBe("b2");
    table.hold("ann", "b3");
    expect(table.find("ann", 10_000)).toBe("b3");
  });

  test("that is forgotten while connections are open comes back with the next one, and ends with the last", () => {
    const table = tableOf();
    table.hold("ann", "b1");
    table.forget("ann");
    expect(table.find("ann", 0)).toBeNull();
    table.hold("ann", "b2");
    table.release("ann", 10);
    expect(table.find("ann", 10_000)).toBe("b2");
    table.forget("ann");
    table.release("ann", 10_000);
    expect(table.size).toBe(0);
  });

  test("gives way to the bound in the order of last use, but never while a connection is open", () => {
    const table = tableOf(TTL_MS, 2);
    table.touch("ann", "b1", 0);
    table.touch("bob", "b1", 1);
    table.touch("ann", "b1", 2);
    table.touch("carl", "b1", 3);
    expect(["ann", "bob", "carl"].map((user) => table.find(user, 3))).toEqual(["b1", null, "b1"]);
    for (const user of ["dora", "eve", "fred"]) table.hold(user, "b2");
    expect(table.size).toBe(3);
    expect(["dora", "eve", "fred"].map((user) => table.find(user, 3))).toEqual(["b2", "b2", "b2"]);
    // Above the bound nobody idle is kept, until enough have left.
    table.release("dora", 4);
    table.release("eve", 5);
    expect(["dora", "eve", "fred"].map((user) => table.find(user, 5))).toEqual([null, "b2", "b2"]);
  });

  test("is swept in steps, the oldest first, and a shorter time takes hold at once", () => {
    const table = tableOf(1_000, 100);
    for (let i = 0; i < 10; i++) table.touch(`user-${i}`, "b1", i);
    table.sweep(500, 100);
    expect(table.size).toBe(10);
    table.configure(5);
    table.sweep(12, 3);
    expect(entriesOf(table).map(({ user }) => user)).toEqual(
      [3, 4, 5, 6, 7, 8, 9].map((index) => `user-${index}`),
    );
    table.sweep(12, 100);
    expect(entriesOf(table).map(({ user }) => user)).toEqual(["user-8", "user-9"]);
  });

  test("is carried over by its entries, while it changes, too", () => {
    const table = tableOf(TTL_MS, 10);
    table.hold("dora", "b4");
    table.touch("ann", "b1", 1);
    table.touch("bob", "b2", 2);
    table.touch("ann", "b3", 3);
    const seen: AffinityEntry[] = [];
    for (const entry of table.entries()) {
      seen.push(entry);
      // Those ahead are used meanwhile, those behind are forgotten.
      for (const user of ["ann", "bob"]) {
        if (!seen.some((one) => one.user === user)) table.touch(user, "b3", 4);
      }
      table.forget(entry.user);
    }
    expect(seen.map(({ user }) => user).toSorted()).toEqual(["ann", "bob", "dora"]);
    expect(seen.find(({ user }) => user === "dora")).toEqual({
      user: "dora",
      backend: "b4",
      idleSinceMs: null,
    });
    expect(seen.slice(1).filter(({ idleSinceMs }) => idleSinceMs !== null)).toEqual(
      seen.slice(1).flatMap(({ user }) => (user === "dora" ? [] : [{ user, backend: "b3", idleSinceMs: 4 }])),
    );
    expect([...table.entries()]).toEqual([]);
  });
});

/** The idle in the order of their last use, then those with connections. */
function entriesOf(table: AffinityTable): AffinityEntry[] {
  return [...table.entries()].toSorted(byUse);
}

function entriesOfNaive({ users }: NaiveAffinity): AffinityEntry[] {
  return users
    .flatMap(({ user, backend, connections, idleSinceMs }) =>
      backend === null ? [] : [{ user, backend, idleSinceMs: connections === 0 ? idleSinceMs : null }],
    )
    .toSorted(byUse);
}

function byUse(a: AffinityEntry, b: AffinityEntry): number {
  const [aMs, bMs] = [a, b].map(({ idleSinceMs }) => idleSinceMs ?? Number.MAX_VALUE);
  return (aMs ?? 0) - (bMs ?? 0) || (a.user < b.user ? -1 : 1);
}
