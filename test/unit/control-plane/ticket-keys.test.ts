import { afterEach, expect, test, vi } from "vitest";
import { TicketKeys } from "../../../src/control-plane/ticket-keys.ts";

afterEach(() => void vi.useRealTimers());

test("keys are 48 bytes, made anew every hour, and told of", () => {
  vi.useFakeTimers();
  const told: Uint8Array[] = [];
  const keys = new TicketKeys((current) => told.push(current));
  const first = keys.current;
  vi.advanceTimersByTime(3_600_000);
  expect([first.length, keys.current.length, told.length]).toEqual([48, 48, 1]);
  expect(Buffer.from(first).equals(keys.current)).toBe(false);
  expect(told[0]).toBe(keys.current);
  keys.stop();
  vi.advanceTimersByTime(7_200_000);
  expect(told).toHaveLength(1);
});
