import { describe, expect, test } from "vitest";

import { Pool } from "../../../src/control-plane/pool.ts";
import { type BackendInput, configOfPools } from "./config-of-pools.ts";

const none: ReadonlySet<string> = new Set();

function poolOf(backends: readonly BackendInput[]): Pool {
  return new Pool("chat", poolConfig(backends));
}

function poolConfig(backends: readonly BackendInput[]): ConstructorParameters<typeof Pool>[1] {
  const config = configOfPools({ chat: { backends } }).pools["chat"];
  if (config === undefined) throw new Error("the pool is missing");
  return config;
}

function idsOf(pool: Pool): string[] {
  return [...pool.backends].map(({ id }) => id);
}

/** Takes a slot; the id of the backend, or why there is none. */
function take(pool: Pool, tried: ReadonlySet<string> = none): string {
  const picked = pool.pick(tried);
  if (typeof picked === "string") return picked;
  pool.acquire(picked);
  return picked.id;
}

describe("a pool", () => {
  test("is full when every backend has as many connections as its capacity", () => {
    const pool = poolOf([
      { id: "a", capacity: 1 },
      { id: "b", capacity: 2 },
    ]);
    expect([take(pool), take(pool), take(pool)].toSorted()).toEqual(["a", "b", "b"]);
    expect(take(pool)).toBe("backends_full");
  });

  test("leaves out what was tried, and tells full from none left", () => {
    const pool = poolOf([{ id: "a", capacity: 1 }, { id: "b" }]);
    expect(take(pool, new Set(["b"]))).toBe("a");
    expect(take(pool, new Set(["b"]))).toBe("backends_full");
    expect(take(pool, new Set(["a", "b"]))).toBe("no_backend");
  });

  test("gives a plain request a backend at its capacity, as it takes no slot", () => {
    const pool = poolOf([{ id: "a", capacity: 1 }]);
    take(pool);
    expect(pool.pickForRequest()).toMatchObject({ id: "a", connections: 1 });
  });

  test("keeps the counts of known backends over a reload, and takes over their new settings", () => {
    const pool = poolOf([{ id: "a", capacity: 1 }]);
    take(pool);
    pool.configure(poolConfig([{ id: "a", capacity: 2 }]));
    expect(take(pool)).toBe("a");
    expect(take(pool)).toBe("backends_full");
  });

  test("gives a removed backend no more work, and forgets it with its last connection", () => {
    const pool = poolOf([{ id: "a" }]);
    const [removed] = pool.backends;
    if (removed === undefined) throw new Error("there is one");
    pool.acquire(removed);
    pool.configure(poolConfig([{ id: "b" }]));
    expect(idsOf(pool)).toEqual(["a", "b"]);
    expect([take(pool), take(pool)]).toEqual(["b", "b"]);
    pool.release(removed);
    expect(idsOf(pool)).toEqual(["b"]);
  });

  test("takes a backend back that is listed again, with the connections it still has", () => {
    const pool = poolOf([{ id: "a", capacity: 1 }]);
    take(pool);
    pool.configure(poolConfig([{ id: "b" }]));
    pool.configure(poolConfig([{ id: "a", capacity: 1 }]));
    expect(idsOf(pool)).toEqual(["a"]);
    expect(take(pool)).toBe("backends_full");
  });

  test("that is no longer configured is empty once its connections are gone", () => {
    const pool = poolOf([{ id: "a" }]);
    const [backend] = pool.backends;
    if (backend === undefined) throw new Error("there is one");
    pool.acquire(backend);
    pool.configure(null);
    expect([take(pool), pool.isEmpty]).toEqual(["no_backend", false]);
    pool.release(backend);
    expect(pool.isEmpty).toBe(true);
  });
});
