import { expect, test } from "vitest";
import { Bans } from "../../../src/control-plane/bans.ts";

test("a ban ends at its time, or when it is lifted", () => {
  const bans = new Bans();
  bans.ban("a", 100);
  bans.ban("b", 100);
  expect(bans.isBanned("a", 99)).toBe(true);
  expect(bans.isBanned("a", 100)).toBe(false);
  expect(bans.lift("b")).toBe(true);
  expect(bans.lift("b")).toBe(false);
  expect(bans.isBanned("b", 0)).toBe(false);
  expect(bans.size).toBe(0);
});

test("a shorter ban does not shorten a longer one", () => {
  const bans = new Bans();
  bans.ban("a", 100);
  bans.ban("a", 50);
  expect(bans.isBanned("a", 99)).toBe(true);
  bans.ban("a", 200);
  expect(bans.isBanned("a", 199)).toBe(true);
});

test("bans that are over are forgotten by the sweep", () => {
  const bans = new Bans();
  for (let i = 0; i < 1_000; i++) bans.ban(`user ${i}`, i);
  bans.sweep(500);
  expect(bans.size).toBe(499);
});

test("is bounded: past 100 000 the ban that ends first is lifted", () => {
  const bans = new Bans();
  for (let i = 0; i <= 100_000; i++) bans.ban(`user ${i}`, 1_000 + i);
  expect(bans.size).toBe(100_000);
  expect(bans.isBanned("user 0", 0)).toBe(false);
  expect(bans.isBanned("user 1", 0)).toBe(true);
});

test("an administrator's ban replaces any other, also by a shorter one, and says who made it and why", () => {
  const bans = new Bans();
  bans.ban("a", 1_000);
  expect(bans.find("a", 0)).toEqual({ untilMs: 1_000, by: "abuse", reason: null });
  bans.set("a", { untilMs: 100, by: "admin", reason: "spam" });
  expect(bans.find("a", 99)).toEqual({ untilMs: 100, by: "admin", reason: "spam" });
  expect(bans.find("a", 100)).toBeNull();
  expect(bans.size).toBe(0);
});
