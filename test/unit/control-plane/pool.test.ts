import { describe, expect, test } from "vitest";

import type { Config, PoolConfig } from "../../../src/config/schema.ts";
import { Pool, type Slot } from "../../../src/control-plane/pool.ts";
import type { AdmitRequest } from "../../../src/shared-memory/channel.ts";
import { type BackendInput, configOfPools, type PoolInput, specsOf } from "./config-of-pools.ts";
import { requestOf } from "./request-of.ts";

const none: ReadonlySet<string> = new Set();

interface Fixture {
  readonly pool: Pool;
  readonly slots: Slot[];
  readonly setNow: (ms: number) => void;
  /** Takes a slot; the id of the backend, or why there is none. */
  readonly take: (request?: Partial<AdmitRequest>, tried?: ReadonlySet<string>) => string;
  readonly list: (backends: readonly BackendInput[]) => ReturnType<Pool["configure"]>;
}

function poolOf(backends: readonly BackendInput[], affinity: PoolInput["affinity"] = "off"): Fixture {
  let nowMs = 0;
  const configOf = (listed: readonly BackendInput[]): Config =>
    configOfPools({ chat: { backends: listed, affinity } });
  const pool = new Pool("chat", chatOf(configOf(backends)), () => nowMs);
  const slots: Slot[] = [];
  const list: Fixture["list"] = (listed) => {
    const config = configOf(listed);
    return pool.configure(chatOf(config), specsOf(config)("chat"));
  };
  list(backends);
  return {
    pool,
    slots,
    list,
    setNow: (ms) => void (nowMs = ms),
    take: (more = {}, tried = none) => {
      const picked = pool.pick(requestOf(more), tried);
      if (typeof picked === "string") return picked;
      const slot = pool.acquire(picked, requestOf(more));
      pool.opened(slot);
      slots.push(slot);
      return picked.id;
    },
  };
}

function chatOf({ pools }: Config): PoolConfig {
  const { chat } = pools;
  if (chat === undefined) throw new Error("the pool is missing");
  return chat;
}

function idsOf(pool: Pool): string[] {
  return [...pool.backends].map(({ id }) => id);
}

function releaseAll({ pool, slots }: Fixture): void {
  for (const slot of slots.splice(0)) pool.release(slot);
}

describe("a pool", () => {
  test("is full when every backend has as many connections as its capacity", () => {
    const { take } = poolOf([
      { id: "a", capacity: 1 },
      { id: "b", capacity: 2 },
    ]);
    expect([take(), take(), take()].toSorted()).toEqual(["a", "b", "b"]);
    expect(take()).toBe("backends_full");
  });

  test("leaves out what was tried, and tells full from none left", () => {
    const { take } = poolOf([{ id: "a", capacity: 1 }, { id: "b" }]);
    expect(take({}, new Set(["b"]))).toBe("a");
    expect(take({}, new Set(["b"]))).toBe("backends_full");
    expect(take({}, new Set(["a", "b"]))).toBe("no_backend");
  });

  test.each([
    ["the operator drains", { operatorState: "draining" }],
    ["the operator set down", { operatorState: "down" }],
    ["fails its checks", { isUp: false }],
    ["is ejected", { isEjected: true }],
  ] as const)("gives no work to a backend that %s", (_name, state) => {
    const { pool, take } = poolOf([{ id: "a" }, { id: "b" }]);
    Object.assign(pool.find("a") ?? {}, state);
    pool.refresh();
    expect([take(), take(), take()]).toEqual(["b", "b", "b"]);
    Object.assign(pool.find("b") ?? {}, state);
    pool.refresh();
    expect(take()).toBe("no_backend");
  });

  test("follows weight and capacity that were set by hand", () => {
    const { pool, take } = poolOf([{ id: "a", capacity: 1 }, { id: "b" }]);
    Object.assign(pool.find("a") ?? {}, { capacitySet: 2, weightSet: 100 });
    expect([take(), take(), take()]).toEqual(["a", "a", "b"]);
  });

  test("gives a plain request a backend at its capacity, as it takes no slot", () => {
    const { pool, take } = poolOf([{ id: "a", capacity: 1 }]);
    take();
    expect(pool.pickForRequest(requestOf())).toMatchObject({ id: "a", connections: 1 });
    expect(pool.pickForRequest(requestOf({ tried: ["a"] }))).toBe("no_backend");
  });

  test("keeps the counts of known backends over a reload, and takes over their new settings", () => {
    const { list, take } = poolOf([{ id: "a", capacity: 1 }]);
    take();
    expect(list([{ id: "a", capacity: 2 }])).toEqual({ added: [], removed: [], returned: [] });
    expect(take()).toBe("a");
    expect(take()).toBe("backends_full");
  });

  test("gives a removed backend no more work, and forgets it with its last connection", () => {
    const fixture = poolOf([{ id: "a" }]);
    const { pool, list, take } = fixture;
    take();
    const { added, removed } = list([{ id: "b" }]);
    expect([added.map(({ id }) => id), removed.map(({ id }) => id)]).toEqual([["b"], ["a"]]);
    expect(idsOf(pool)).toEqual(["a", "b"]);
    const [old] = fixture.slots.splice(0);
    expect([take(), take()]).toEqual(["b", "b"]);
    if (old !== undefined) pool.release(old);
    expect(idsOf(pool)).toEqual(["b"]);
  });

  test("takes a backend back that is listed again, with the connections it still has", () => {
    const { pool, list, take } = poolOf([{ id: "a", capacity: 1 }]);
    take();
    list([{ id: "b" }]);
    expect(list([{ id: "a", capacity: 1 }]).returned).toMatchObject([{ id: "a", connections: 1 }]);
    expect(idsOf(pool)).toEqual(["a"]);
    expect(take()).toBe("backends_full");
  });

  test("that is no longer configured is gone with its last connection", () => {
    const fixture = poolOf([{ id: "a" }]);
    const { pool, take } = fixture;
    take();
    pool.configure(null, []);
    expect([take(), pool.isGone]).toEqual(["no_backend", false]);
    releaseAll(fixture);
    expect(pool.isGone).toBe(true);
  });
});

describe("affinity by user", () => {
  const backends = [{ id: "a" }, { id: "b" }, { id: "c" }];

  test("brings a user back to the backend of before, however loaded it is, until the ttl is over", () => {
    const fixture = poolOf(backends, { by: "user", ttl: "1m" });
    const { pool, take, setNow } = fixture;
    const home = take({ user: "ann" });
    for (let i = 0; i < 5; i += 1) expect(take({ user: "ann" })).toBe(home);
    releaseAll(fixture);
    setNow(59_999);
    expect(pool.pickForRequest(requestOf({ user: "ann" }))).toMatchObject({ id: home });
    expect(pool.affinity.size).toBe(1);
    setNow(59_999 + 60_001);
    pool.affinity.sweep(59_999 + 60_001, 100);
    expect(pool.affinity.size).toBe(0);
  });

  test("moves a user whose backend cannot take it, and keeps it where it has gone", () => {
    const fixture = poolOf(backends, { by: "user" });
    const { pool, take } = fixture;
    const home = take({ user: "ann" });
    Object.assign(pool.find(home) ?? {}, { isUp: false });
    pool.refresh();
    const other = take({ user: "ann" });
    expect(other).not.toBe(home);
    Object.assign(pool.find(home) ?? {}, { isUp: true });
    pool.refresh();
    expect([take({ user: "ann" }), take({ user: "ann" })]).toEqual([other, other]);
    expect(pool.affinityResults).toEqual({ new: 1, moved: 1, kept: 2 });
  });

  test("moves by least connections, whatever `balance` gives those who are new", () => {
    const { pool, take } = poolOf(backends, { by: "user" });
    pool.config = { ...pool.config, balance: "round-robin" };
    const homes = Array.from({ length: 9 }, (_, i) => take({ user: `user-${i}` }));
    Object.assign(pool.find("a") ?? {}, { isUp: false });
    Object.assign(pool.find("b") ?? {}, { connections: 0 });
    pool.refresh();
    const moving = homes.flatMap((home, i) => (home === "a" ? [`user-${i}`] : []));
    expect(moving.map((user) => take({ user }))).toEqual(["b", "b", "b"]);
  });

  test("moves by the hash where that is the balance, as other processes would", () => {
    const { pool, take } = poolOf(backends, { by: "user" });
    pool.config = { ...pool.config, balance: "consistent-hash" };
    Object.assign(pool.find("a") ?? {}, { isUp: false });
    pool.refresh();
    const users = Array.from({ length: 20 }, (_, i) => `user-${i}`);
    const asNew = users.map((user) => take({ user }));
    for (const user of users) pool.affinity.touch(user, "a", 0);
    expect(users.map((user) => take({ user }))).toEqual(asNew);
  });

  test("is counted once for a connection, whatever its dials came to", () => {
    const { pool } = poolOf(backends, { by: "user" });
    const [a, b] = [...pool.backends];
    if (a === undefined || b === undefined) throw new Error("there are two");
    const request = requestOf({ user: "ann" });
    pool.opened(pool.acquire(b, request, pool.acquire(a, request)));
    expect(pool.affinityResults).toEqual({ new: 1, moved: 0, kept: 0 });
    pool.opened(pool.acquire(a, request, pool.acquire(b, request)));
    expect(pool.affinityResults).toEqual({ new: 1, moved: 1, kept: 0 });
    const shared = requestOf({ isSharedAddress: true });
    pool.opened(pool.acquire(b, shared, pool.acquire(a, shared)));
    expect(pool.affinityResults).toEqual({ new: 1, moved: 1, kept: 0 });
  });

  test("is not had by users who are known only by an address that others share", () => {
    const { pool, take } = poolOf(backends, { by: "user" });
    const shared = { user: "ip:192.0.2.1", isSharedAddress: true };
    expect(pool.deniesAffinity(requestOf(shared))).toBe(true);
    expect(new Set([take(shared), take(shared), take(shared)]).size).toBe(3);
    expect(pool.affinity.size).toBe(0);
  });

  test("nor by the hash of such an address, which would bring all of them to one backend", () => {
    const { pool, take } = poolOf(backends);
    pool.config = { ...pool.config, balance: "consistent-hash" };
    const shared = { user: "ip:192.0.2.1", isSharedAddress: true };
    expect(new Set([take(shared), take(shared), take(shared)]).size).toBe(3);
    const own = { user: "ann" };
    expect(new Set([take(own), take(own), take(own)]).size).toBe(1);
  });

  test("counts a connection out of the table it was counted into, whatever a reload made of `by`", () => {
    const fixture = poolOf(backends, { by: "user" });
    fixture.take({ user: "ann" });
    const cookies = configOfPools({ chat: { backends, affinity: { by: "cookie" } } });
    fixture.pool.configure(chatOf(cookies), specsOf(cookies)("chat"));
    releaseAll(fixture);
    fixture.pool.affinity.sweep(Number.MAX_SAFE_INTEGER, 100);
    expect(fixture.pool.affinity.size).toBe(0);
  });
});

describe("affinity by cookie", () => {
  const backends = [{ id: "a" }, { id: "b" }, { id: "c" }];

  test("gives each backend an opaque value, and a client that shows it comes back", () => {
    const { pool, take } = poolOf(backends, { by: "cookie" });
    for (const backend of pool.backends) {
      expect(backend.cookie).toMatch(/^[\w-]{16}$/);
      expect(backend.cookie).not.toContain(backend.id.repeat(2));
      const request = requestOf({ cookie: backend.cookie });
      expect([take(request), take(request)]).toEqual([backend.id, backend.id]);
      expect(pool.cookieFor(backend, request)).toBeNull();
      expect(pool.cookieFor(backend, requestOf())).toBe(backend.cookie);
      expect(pool.cookieFor(backend, requestOf({ cookie: "stale" }))).toBe(backend.cookie);
    }
    expect(pool.affinity.size).toBe(0);
  });

  test("is for clients of any user, and falls back to `balance` for a value of no backend", () => {
    const { take } = poolOf(backends, { by: "cookie" });
    expect(new Set([take({ cookie: "x" }), take({ cookie: "x" }), take({ cookie: "x" })]).size).toBe(3);
  });
});
