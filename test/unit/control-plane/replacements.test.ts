// `userFull: close-stalest`, through admission, on a clock that the test turns.
import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import type { Admission, Decision } from "../../../src/control-plane/admission.ts";
import { ActivityTable, activityCells } from "../../../src/shared-memory/activity.ts";
import { admissionOf } from "./admission-of.ts";
import { requestOf } from "./request-of.ts";

interface Fixture {
  readonly admission: Admission;
  /** `worker/id` of those told to make room, in order. */
  readonly replaced: string[];
  /** What became of those that had to wait. */
  readonly decided: Record<string, Decision>;
  readonly setNow: (ms: number) => void;
  /** The client of this connection was heard of now. */
  readonly hear: (id: number) => void;
  /** Admits and opens; how that went at once. */
  readonly open: (id: number, options?: { worker?: number; user?: string }) => string;
}

function fixture(maxConnectionsPerUser = 2): Fixture {
  const result = parseConfig({
    listeners: [":8080"],
    pools: { chat: { backends: ["ws://a"] } },
    tiers: { guest: { maxConnectionsPerUser, userFull: "close-stalest", default: true } },
  });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  let nowMs = 1_000_000;
  const activity = new ActivityTable();
  const cells = activityCells(activity.buffer);
  const cellOf = new Map<number, number>();
  const replaced: string[] = [];
  const decided: Record<string, Decision> = {};
  const { admission } = admissionOf(result.config, {
    activity,
    events: {
      decided: (worker, id, decision) => void (decided[`${worker}/${id}`] = decision),
      replaced: (worker, id) => void replaced.push(`${worker}/${id}`),
    },
    now: () => nowMs,
  });
  return {
    admission,
    replaced,
    decided,
    setNow: (ms) => void (nowMs = 1_000_000 + ms),
    hear: (id) => void (cells[cellOf.get(id) ?? -1] = nowMs),
    open: (id, { worker = 1, user = "ann" } = {}) => {
      const decision = admission.admit(worker, requestOf({ id, user, tier: "guest" }));
      if (decision === null) return "waits";
      if ("refused" in decision) return decision.refused;
      cellOf.set(id, decision.grant.activityCell ?? -1);
      admission.open(worker, id);
      return "open";
    },
  };
}

describe("a user at its cap", () => {
  test("is refused while each of its connections was heard of within 60 s", () => {
    const { open, setNow, hear, replaced } = fixture();
    expect([open(1), open(2)]).toEqual(["open", "open"]);
    setNow(60_000);
    expect(open(3)).toBe("user_full");
    setNow(90_000);
    hear(1);
    hear(2);
    setNow(150_000);
    expect(open(4)).toBe("user_full");
    expect(replaced).toEqual([]);
  });

  test("gets the place of the one that has been silent longest, once that is free", () => {
    const { admission, open, setNow, hear, replaced, decided } = fixture(3);
    for (const id of [1, 2, 3]) open(id);
    setNow(10_000);
    hear(1);
    hear(3);
    setNow(100_000);
    expect(open(4, { worker: 2 })).toBe("waits");
    expect(replaced).toEqual(["1/2"]);
    expect(decided).toEqual({});
    expect(admission.connections).toBe(3);
    admission.release(1, 2);
    expect(decided).toMatchObject({ "2/4": { grant: { id: 4, backend: "a:80" } } });
    expect(admission.connections).toBe(3);
  });

  test("may do so three times a minute, and again a minute after the first", () => {
    const { admission, open, setNow, replaced } = fixture(6);
    for (let id = 1; id <= 6; id++) open(id);
    setNow(61_000);
    for (const id of [11, 12, 13]) expect(open(id)).toBe("waits");
    expect(open(14)).toBe("user_full");
    for (const id of [1, 2, 3]) admission.release(1, id);
    expect(open(15)).toBe("user_full");
    setNow(120_999);
    expect(open(16)).toBe("user_full");
    setNow(121_000);
    expect(open(17)).toBe("waits");
    expect(replaced).toEqual(["1/1", "1/2", "1/3", "1/4"]);
  });

  test("does not replace one that is being replaced, nor one that is still being dialled", () => {
    const { admission, open, setNow, replaced } = fixture();
    open(1);
    admission.admit(1, requestOf({ id: 2, user: "ann", tier: "guest" }));
    setNow(100_000);
    expect(open(3)).toBe("waits");
    expect(open(4)).toBe("user_full");
    expect(replaced).toEqual(["1/1"]);
  });

  test("does not touch the connections of another user", () => {
    const { open, setNow, replaced } = fixture(1);
    open(1, { user: "bob" });
    setNow(61_000);
    expect(open(2)).toBe("open");
    expect(open(3)).toBe("user_full");
    expect(replaced).toEqual([]);
  });
});

describe("one that waits for the place of another", () => {
  test("and leaves, takes no place when that one is free", () => {
    const { admission, open, setNow, decided } = fixture(1);
    open(1);
    setNow(61_000);
    expect(open(2)).toBe("waits");
    expect(admission.release(1, 2)).toBeNull();
    admission.release(1, 1);
    expect(decided).toEqual({});
    expect(admission.connections).toBe(0);
  });

  test("and dies with its worker thread, takes no place either", () => {
    const { admission, open, setNow, decided } = fixture(1);
    open(1);
    setNow(61_000);
    expect(open(2, { worker: 2 })).toBe("waits");
    admission.releaseWorker(2);
    admission.release(1, 1);
    expect(decided).toEqual({});
    expect(admission.connections).toBe(0);
  });

  test("gets it also where the thread of the other one dies", () => {
    const { admission, open, setNow, decided } = fixture(1);
    open(1, { worker: 2 });
    setNow(61_000);
    expect(open(2)).toBe("waits");
    admission.releaseWorker(2);
    expect(decided).toMatchObject({ "1/2": { grant: { id: 2 } } });
  });

  test("is refused where the user was banned, or the drain began, in the meantime", () => {
    for (const [meanwhile, refused] of [
      [(admission: Admission) => admission.bans.ban("ann", Infinity), "banned"],
      [(admission: Admission) => admission.startDraining(), "draining"],
    ] as const) {
      const { admission, open, setNow, decided } = fixture(1);
      open(1);
      setNow(61_000);
      expect(open(2)).toBe("waits");
      meanwhile(admission);
      admission.release(1, 1);
      expect(decided).toEqual({ "1/2": { refused } });
    }
  });

  test("gets the place before anybody else of that user", () => {
    const { admission, open, setNow, decided } = fixture(1);
    open(1);
    setNow(61_000);
    expect(open(2)).toBe("waits");
    admission.release(1, 1);
    expect(open(3)).toBe("user_full");
    expect(decided).toMatchObject({ "1/2": { grant: { id: 2 } } });
  });
});
