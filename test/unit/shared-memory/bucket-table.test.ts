// What a user's bucket lives through, and what a table keeps of users who are gone. Random sequences are in
// bucket-table-model.test.ts.

import { describe, expect, test } from "vitest";
import { BucketTable, BucketView } from "../../../src/shared-memory/bucket-table.ts";
import type { Bucket } from "../../../src/shared-memory/gcra.ts";

const SECOND = 1e9;
const CELLS_PER_SEGMENT = 4096;
const limit = { rate: 1, burst: 10 };

/** A table with the view that a worker would have of it. */
class Setup {
  readonly table = new BucketTable();
  readonly view = new BucketView();
  segments = 0;

  constructor() {
    this.table.onSegment((segment) => {
      this.segments += 1;
      this.view.addSegment(segment);
    });
  }

  bucket(cell: number): Bucket {
    return this.view.bucket(cell, limit);
  }

  /** One user who comes, spends and goes. */
  visit(key: string, messages: number, nowNs: number): void {
    const cell = this.table.acquire(key, nowNs);
    this.bucket(cell).take(messages, nowNs);
    this.table.release(cell, nowNs);
  }
}

describe("acquire and release", () => {
  test("name one cell for all grants of a key, and another for each other key", () => {
    const { table } = new Setup();
    const cell = table.acquire("alice\nvip", 0);
    expect(table.acquire("alice\nvip", 0)).toBe(cell);
    expect(table.acquire("alice\nguest", 0)).not.toBe(cell);
    expect(table.acquire("bob\nvip", 0)).not.toBe(cell);
    expect(table.size).toBe(3);
  });

  test("let a user who disconnects and comes back find the bucket as it was", () => {
    const setup = new Setup();
    setup.visit("alice", 9, 0);
    for (let user = 0; user < 10_000; user++) setup.visit(`user ${user}`, 1, SECOND);
    const cell = setup.table.acquire("alice", 2 * SECOND);
    expect(setup.bucket(cell).level(2 * SECOND)).toBeCloseTo(3, 5);
  });

  test("forget a full bucket at once", () => {
    const setup = new Setup();
    setup.visit("alice", 0, 0);
    expect(setup.table.size).toBe(0);
  });

  test("keep a full bucket that a grant still names", () => {
    const { table } = new Setup();
    const first = table.acquire("alice", 0);
    table.acquire("alice", 0);
    table.release(first, 0);
    table.sweep(SECOND, 100);
    expect(table.size).toBe(1);
    expect(table.acquire("bob", SECOND)).not.toBe(first);
  });

  test("refuse a release that no acquire stands for", () => {
    const { table } = new Setup();
    expect(() => table.release(0, 0)).toThrow(RangeError);
    const cell = table.acquire("alice", 0);
    table.release(cell, 0);
    expect(() => table.release(cell, 0)).toThrow(RangeError);
  });

  test("refuse a release of a bucket that is only remembered", () => {
    const setup = new Setup();
    const cell = setup.table.acquire("alice", 0);
    setup.bucket(cell).take(5, 0);
    setup.table.release(cell, 0);
    expect(setup.table.size).toBe(1);
    expect(() => setup.table.release(cell, 0)).toThrow(RangeError);
  });
});

describe("segments", () => {
  test("are announced before the first cell in them is handed out", () => {
    const setup = new Setup();
    expect(setup.segments).toBe(0);
    for (let user = 0; user < 3 * CELLS_PER_SEGMENT; user++) {
      const cell = setup.table.acquire(`user ${user}`, 0);
      expect(setup.segments * CELLS_PER_SEGMENT).toBeGreaterThan(cell);
      expect(setup.bucket(cell).take(20, 0)).toBe(10);
    }
    expect(setup.segments).toBe(3);
    expect(setup.table.cellCount).toBe(3 * CELLS_PER_SEGMENT);
  });

  test("are announced to a worker that starts later, in the same order, until it ends", () => {
    const setup = new Setup();
    for (let user = 0; user <= CELLS_PER_SEGMENT; user++) setup.table.acquire(`user ${user}`, 0);
    const heard: SharedArrayBuffer[] = [];
    const end = setup.table.onSegment((segment) => heard.push(segment));
    const late = new BucketView();
    for (const segment of heard) late.addSegment(segment);
    setup.bucket(CELLS_PER_SEGMENT).take(7, 0);
    expect(heard).toHaveLength(2);
    expect(late.bucket(CELLS_PER_SEGMENT, limit).level(0)).toBeCloseTo(3, 5);
    end();
    for (let user = 0; user < 2 * CELLS_PER_SEGMENT; user++) setup.table.acquire(`other ${user}`, 0);
    expect(setup.segments).toBe(4);
    expect(heard).toHaveLength(2);
  });

  test("hold every cell that a view makes a bucket of", () => {
    const view = new BucketView();
    expect(() => view.bucket(0, limit)).toThrow(RangeError);
  });
});

describe("a million distinct users passing through", () => {
  test("leave no key behind, and no more cells than the most that were in use at once", () => {
    const setup = new Setup();
    let nowNs = 0;
    let most = 0;
    for (let user = 0; user < 1_000_000; user++) {
      // A thousand arrive in a second; each bucket takes five seconds until it is full again.
      nowNs += 1e6;
      setup.visit(`user ${user}`, 5, nowNs);
      most = Math.max(most, setup.table.size);
    }
    expect(most).toBeLessThan(2 * 5000);
    expect(setup.table.cellCount).toBeLessThanOrEqual(3 * CELLS_PER_SEGMENT);
    const size = setup.table.size;
    setup.table.sweep(nowNs + 10 * SECOND, 2 * size);
    expect(setup.table.size).toBe(0);
    setup.visit("the next one", 5, nowNs + 10 * SECOND);
    expect(setup.table.cellCount).toBeLessThanOrEqual(3 * CELLS_PER_SEGMENT);
  });

  test("are swept although others stay connected", () => {
    const setup = new Setup();
    for (let user = 0; user < 1000; user++) {
      setup.bucket(setup.table.acquire(`resident ${user}`, 0)).take(10, 0);
    }
    for (let user = 0; user < 100_000; user++) setup.visit(`user ${user}`, 1, user * 1e6);
    expect(setup.table.size).toBeLessThan(1000 + 2 * 1000);
    setup.table.sweep(1000 * SECOND, 100_000);
    expect(setup.table.size).toBe(1000);
  });

  test("cost each sweep no more than it was allowed", () => {
    const setup = new Setup();
    for (let user = 0; user < 1000; user++) setup.visit(`user ${user}`, 10, 0);
    expect(setup.table.size).toBe(1000);
    setup.table.sweep(20 * SECOND, 100);
    expect(setup.table.size).toBeGreaterThanOrEqual(900);
    for (let i = 0; i < 20; i++) setup.table.sweep(20 * SECOND, 100);
    expect(setup.table.size).toBe(0);
  });
});
