import * as fc from "fast-check";
import { expect, test } from "vitest";
import { WaitingRoom } from "../../../src/control-plane/waiting-room.ts";

const priorities = ["high", "normal", "low"] as const;

test("serves by priority, then by arrival", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...priorities), { maxLength: 30 }), (arrivals) => {
      const room = new WaitingRoom<number, { id: number; priority: (typeof priorities)[number] }>();
      for (const [id, priority] of arrivals.entries()) {
        room.enter(id, { id, priority }, { priority, nowMs: id, timeoutMs: 1_000 });
      }
      const served = arrivals.map(() => room.next()?.item.id);
      const expected = [...arrivals.entries()].toSorted(
        ([a, first], [b, second]) => priorities.indexOf(first) - priorities.indexOf(second) || a - b,
      );
      expect(served).toEqual(expected.map(([id]) => id));
      expect(room.next()).toBeNull();
    }),
  );
});

test("one that leaves is not served, and leaves once", () => {
  const room = new WaitingRoom<string, string>();
  for (const key of ["a", "b", "c"]) {
    room.enter(key, `item ${key}`, { priority: "normal", nowMs: 0, timeoutMs: 10 });
  }
  expect(room.leave("b")).toBe("item b");
  expect(room.leave("b")).toBeNull();
  expect(room.length).toBe(2);
  expect([room.next()?.item, room.next()?.item]).toEqual(["item a", "item c"]);
});

test("takes out those whose time is up, and tells the next deadline", () => {
  const room = new WaitingRoom<string, string>();
  expect(room.nextDeadlineMs()).toBeNull();
  room.enter("early", "early", { priority: "low", nowMs: 0, timeoutMs: 100 });
  room.enter("late", "late", { priority: "high", nowMs: 50, timeoutMs: 100 });
  expect(room.nextDeadlineMs()).toBe(100);
  expect(room.expire(99)).toEqual([]);
  expect(room.expire(100)).toEqual(["early"]);
  expect(room.nextDeadlineMs()).toBe(150);
  expect(room.next()).toMatchObject({ item: "late", enteredAtMs: 50 });
});

test("knows the deadline of one whose time is shorter than that of those ahead", () => {
  const room = new WaitingRoom<string, string>();
  room.enter("old", "old", { priority: "normal", nowMs: 0, timeoutMs: 60_000 });
  room.enter("new", "new", { priority: "normal", nowMs: 10, timeoutMs: 1_000 });
  room.enter("newer", "newer", { priority: "normal", nowMs: 20, timeoutMs: 1_000 });
  expect(room.nextDeadlineMs()).toBe(1_010);
  expect(room.expire(1_010)).toEqual(["new"]);
  expect(room.nextDeadlineMs()).toBe(1_020);
  expect(room.expire(1_020)).toEqual(["newer"]);
  expect(room.nextDeadlineMs()).toBe(60_000);
  room.leave("old");
  expect(room.nextDeadlineMs()).toBeNull();
  room.enter("later", "later", { priority: "low", nowMs: 0, timeoutMs: 90_000 });
  expect(room.nextDeadlineMs()).toBe(90_000);
});
