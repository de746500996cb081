import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import { Rebalancer } from "../../../src/control-plane/rebalancer.ts";
import { type AdmissionFixture, admissionOf, reconfigure } from "./admission-of.ts";
import { requestOf } from "./request-of.ts";

function configOf(pool: object, ids: readonly string[]): Parameters<typeof admissionOf>[0] {
  const backends = ids.map((id) => ({ id, url: `ws://${id}` }));
  const result = parseConfig({ listeners: [":8080"], pools: { chat: { ...pool, backends } } });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

interface Scene extends AdmissionFixture {
  /** Advances the clock to this second and rebalances; ids of the connections that were closed. */
  readonly at: (second: number) => number[];
  readonly counts: () => Record<string, number>;
}

/** 100 users on one backend, beside which a reload puts another one. */
function scaledOut(pool: object): Scene {
  let nowMs = 0;
  const fixture = admissionOf(configOf(pool, ["a"]), { now: () => nowMs });
  for (let id = 0; id < 100; id += 1) {
    fixture.admission.admit(1, requestOf({ id, user: `user-${id}` }));
    fixture.admission.open(1, id);
  }
  reconfigure(fixture, configOf(pool, ["a", "b"]));
  let closed: number[] = [];
  const rebalancer = new Rebalancer({
    openOn: (backend) => fixture.admission.places.openOn(backend),
    close: ({ request }, reason) => {
      expect(reason).toBe("backend_draining");
      closed.push(request.id);
    },
  });
  return {
    ...fixture,
    at: (second) => {
      closed = [];
      nowMs = second * 1_000;
      for (const pool of fixture.pools.all) rebalancer.advance(pool, nowMs);
      return closed;
    },
    counts: () =>
      Object.fromEntries(
        [...(fixture.pools.find("chat")?.backends ?? [])].map(({ id, connections }) => [id, connections]),
      ),
  };
}

describe("after a scale-out", () => {
  test.each([
    ["user", {}],
    ["cookie", { affinity: { by: "cookie" } }],
    ["none", { affinity: "off" }],
  ])("connections are closed at the pace until nobody is above the skew, by %s", (_by, more) => {
    const { at, admission, counts, pools } = scaledOut({
      rebalance: { maxSkew: "20%", pace: "10/s" },
      ...more,
    });
    const cookieOf = (id: string): string | null => pools.find("chat")?.find(id)?.cookie ?? null;
    const perSecond: number[] = [];
    for (let second = 0; second <= 10; second += 1) {
      const closed = at(second);
      perSecond.push(closed.length);
      for (const id of closed) {
        admission.release(1, id);
        admission.admit(1, requestOf({ id: id + 1_000, user: `user-${id}`, cookie: cookieOf("a") }));
        admission.open(1, id + 1_000);
      }
    }
    expect(perSecond).toEqual([0, 10, 10, 10, 10, 0, 0, 0, 0, 0, 0]);
    expect(counts()).toEqual({ a: 60, b: 40 });
  });

  test("those that were told to go, and have not gone, are not told again, nor others in their place", () => {
    const { at } = scaledOut({ rebalance: { maxSkew: "20%", pace: "1000/s" } });
    expect([at(0).length, at(1).length, at(2).length]).toEqual([0, 40, 0]);
  });

  test.each([
    ["it is off", { rebalance: "off" }],
    ["clients would come back by their hash", { rebalance: {}, balance: "consistent-hash" }],
  ])("nothing is closed where %s", (_why, pool) => {
    const { at } = scaledOut(pool);
    expect([at(0), at(1)]).toEqual([[], []]);
  });
});
