import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Channel } from "../../../src/shared-memory/channel.ts";

/** What was sent, batch by batch. */
let batches: unknown[][];
let channel: Channel<string>;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setImmediate", "clearImmediate", "setTimeout", "clearTimeout", "performance"],
  });
  // The channel has been silent for long.
  vi.advanceTimersByTime(1_000);
  batches = [];
  channel = new Channel<string>({ postMessage: (batch) => void batches.push(batch as unknown[]) });
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a channel", () => {
  test("sends all that one turn of the event loop posts as one batch, in order", () => {
    channel.post("a");
    channel.post("b");
    channel.post("c");
    expect(batches).toEqual([]);
    vi.advanceTimersByTime(0);
    expect(batches).toEqual([["a", "b", "c"]]);
  });

  test("that is busy gathers what comes within two milliseconds", () => {
    channel.post("a");
    vi.advanceTimersByTime(0);
    channel.post("b");
    vi.advanceTimersByTime(0);
    channel.post("c");
    expect(batches).toEqual([["a"]]);
    vi.advanceTimersByTime(2);
    expect(batches).toEqual([["a"], ["b", "c"]]);
  });

  test("sends what is not urgent with the next message that is, before it", () => {
    channel.postUnhurried("news");
    vi.advanceTimersByTime(1);
    expect(batches).toEqual([]);
    channel.post("question");
    vi.advanceTimersByTime(0);
    expect(batches).toEqual([["news", "question"]]);
  });

  test("sends what is not urgent soon, by itself", () => {
    channel.postUnhurried("news");
    channel.postUnhurried("more");
    vi.advanceTimersByTime(10);
    expect(batches).toEqual([["news", "more"]]);
  });

  test("loses nothing, doubles nothing, keeps the order, and sends no empty batch", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constantFrom("post", "postUnhurried"), waitMs: fc.constant(0) }),
      fc.record({ kind: fc.constant("wait"), waitMs: fc.nat({ max: 3 }) }),
    );
    const property = fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      batches.length = 0;
      const posted: string[] = [];
      for (const { kind, waitMs } of steps) {
        if (kind === "wait") vi.advanceTimersByTime(waitMs);
        else {
          const message = `message ${posted.length}`;
          posted.push(message);
          if (kind === "post") channel.post(message);
          else channel.postUnhurried(message);
        }
      }
      vi.advanceTimersByTime(100);
      expect(batches.flat()).toEqual(posted);
      expect(batches.every((batch) => batch.length > 0)).toBe(true);
    });
    fc.assert(property);
  });
});
