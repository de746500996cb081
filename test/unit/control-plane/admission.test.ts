// What the model of admission leaves out: plain requests, counter slots, gauges.
import { describe, expect, test } from "vitest";

import type { Admission } from "../../../src/control-plane/admission.ts";
import { Counters } from "../../../src/shared-memory/counters.ts";
import { admissionOf, reconfigure } from "./admission-of.ts";
import { configOfPools } from "./config-of-pools.ts";
import { requestOf } from "./request-of.ts";

const config = configOfPools({
  chat: { backends: [{ id: "a", capacity: 1 }] },
  game: { backends: [{ id: "b" }] },
});

function admission(): { admission: Admission; counters: Counters } {
  const counters = new Counters();
  const { admission: real } = admissionOf(config, { counters });
  return { admission: real, counters };
}

describe("admission", () => {
  test("gives a plain request a backend, but no slot: there is nothing to release", () => {
    const { admission: real } = admission();
    expect(real.admit(1, requestOf({}))).toMatchObject({ grant: { backend: "a" } });
    expect(real.admit(1, requestOf({ id: 2 }))).toEqual({ refused: "backends_full" });
    expect(real.admit(1, requestOf({ id: 3, kind: "request" }))).toMatchObject({
      grant: { id: 3, backend: "a" },
    });
    expect(real.connections).toBe(1);
    expect(real.release(1, 3)).toBeNull();
    real.startDraining();
    expect(real.admit(1, requestOf({ id: 4, kind: "request" }))).toEqual({ refused: "draining" });
  });

  test("names the counter slot of tier and pool in the grant", () => {
    const { admission: real, counters } = admission();
    const decision = real.admit(1, requestOf({ pool: "game", tier: "vip" }));
    expect(decision).toMatchObject({ grant: { counterSlot: counters.slotOf("vip", "game") } });
    expect(counters.slotOf("vip", "game")).not.toBe(counters.slotOf("default", "game"));
  });

  test("keeps the same id of two workers apart", () => {
    const { admission: real } = admission();
    real.admit(1, requestOf({ pool: "game" }));
    real.admit(2, requestOf({ pool: "game" }));
    expect(real.connections).toBe(2);
    expect(real.releaseWorker(1)).toBe(1);
    expect(real.release(2, 1)).not.toBeNull();
    expect(real.connections).toBe(0);
  });

  test("lets a user whose last connection ends for its age go elsewhere; until then all are on one backend", () => {
    const affinity = { by: "user" } as const;
    const fixture = admissionOf(configOfPools({ chat: { affinity, backends: [{ id: "a" }] } }));
    const { admission: real } = fixture;
    for (const id of [1, 2]) real.admit(1, requestOf({ id }));
    reconfigure(fixture, configOfPools({ chat: { affinity, backends: [{ id: "a" }, { id: "b" }] } }));
    real.aged(1, 1);
    expect(real.admit(1, requestOf({ id: 3 }))).toMatchObject({ grant: { backend: "a" } });
    for (const id of [1, 3]) real.release(1, id);
    real.aged(1, 2);
    expect(real.admit(1, requestOf({ id: 4 }))).toMatchObject({ grant: { backend: "b" } });
    // There it stays.
    expect(real.admit(1, requestOf({ id: 5 }))).toMatchObject({ grant: { backend: "b" } });
    real.aged(1, 99);
  });

  test("lets a user go elsewhere whose connections all end for their age at the same time", () => {
    const affinity = { by: "user" } as const;
    const fixture = admissionOf(configOfPools({ chat: { affinity, backends: [{ id: "a" }] } }));
    const { admission: real } = fixture;
    for (const id of [1, 2]) real.admit(1, requestOf({ id }));
    reconfigure(fixture, configOfPools({ chat: { affinity, backends: [{ id: "a" }, { id: "b" }] } }));
    for (const id of [1, 2]) real.aged(1, id);
    expect(real.admit(1, requestOf({ id: 3 }))).toMatchObject({ grant: { backend: "b" } });
    for (const id of [1, 2]) real.release(1, id);
    expect(real.admit(1, requestOf({ id: 4 }))).toMatchObject({ grant: { backend: "b" } });
  });

  test("tells of buckets that a reload brings once the connection is open, and in a new grant before", () => {
    const told: string[] = [];
    const pools = { chat: { backends: [{ id: "a" }, { id: "b" }] } };
    const fixture = admissionOf(configOfPools(pools), {
      events: { bucketsChanged: (_, id, { tier }) => void told.push(`${id}: ${tier}`) },
    });
    const { admission: real } = fixture;
    for (const id of [1, 2, 3]) real.admit(1, requestOf({ id, user: `user-${id}` }));
    real.open(1, 1);
    reconfigure(fixture, configOfPools(pools, { tiers: { default: { messages: "1/s", default: true } } }));
    expect(told).toEqual(["1: 0"]);
    real.open(1, 2);
    expect(told).toEqual(["1: 0", "2: 1"]);
    expect(real.exchange(1, 3, "backend_failed")).toMatchObject({ grant: { buckets: { tier: 2 } } });
    real.open(1, 3);
    expect(told).toHaveLength(2);
  });

  test("lists every configured pair of tier and pool from the start, and one that emptied at zero", () => {
    const { admission: real } = admission();
    const open = (): Record<string, number> =>
      Object.fromEntries(
        [...real.openConnections].map(({ tier, pool, count }) => [`${tier}/${pool}`, count]),
      );
    expect(open()).toEqual({ "default/chat": 0, "default/game": 0 });
    real.admit(1, requestOf({}));
    expect(open()).toEqual({ "default/chat": 0, "default/game": 0 });
    real.open(1, 1);
    expect(open()).toEqual({ "default/chat": 1, "default/game": 0 });
    real.release(1, 1);
    expect(open()).toEqual({ "default/chat": 0, "default/game": 0 });
  });
});
