import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { drain } from "../../../src/control-plane/drain.ts";
import { RequestCounts } from "../../../src/control-plane/request-counts.ts";
import { recordingLog } from "../../support/recording-log.ts";

/** Everything that the drain told others, in order. */
let told: unknown[];
let admission: { connections: number; requests: RequestCounts; startDraining: () => void };
let stopped: PromiseWithResolvers<void>;
let isOver: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  admission = { connections: 0, requests: new RequestCounts(), startDraining: () => {} };
  stopped = Promise.withResolvers();
  isOver = false;
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the drain", () => {
  test("is over as soon as the listeners are closed, where nobody is connected", async () => {
    start();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(isOver).toBe(false);
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(isOver).toBe(true);
    expect(told).toEqual([
      "stop-listening",
      "close-all",
      ["info", "draining", { connections: 0, requests: 0 }],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("says goodbye at once and ends at the deadline, where a thread does not answer", async () => {
    start();
    expect(told).toEqual(["stop-listening", "close-all"]);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(isOver).toBe(true);
    expect(told.at(-1)).toBe("destroy-all");
  });

  test("waits for connections and for requests", async () => {
    admission.connections = 1;
    admission.requests.set(1, 2);
    admission.requests.set(2, 1);
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(500);
    admission.connections = 0;
    admission.requests.set(1, 0);
    await vi.advanceTimersByTimeAsync(500);
    expect(isOver).toBe(false);
    // Its thread died.
    admission.requests.forget(2);
    await vi.advanceTimersByTimeAsync(20);
    expect(isOver).toBe(true);
    expect(told).not.toContain("destroy-all");
  });

  test("lets the threads report what was cut, for half a second at most", async () => {
    admission.connections = 2;
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(10_100);
    expect(told.at(-2)).toEqual([
      "warn",
      "shutdown timeout reached, cutting connections",
      { connections: 2, requests: 0 },
    ]);
    expect(told.at(-1)).toBe("destroy-all");
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(400);
    expect(isOver).toBe(true);
  });

  test("is over once what was cut is reported", async () => {
    admission.connections = 1;
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(10_100);
    expect(isOver).toBe(false);
    admission.connections = 0;
    await vi.advanceTimersByTimeAsync(20);
    expect(isOver).toBe(true);
  });
});

function start(): void {
  const done = drain({
    admission,
    workers: {
      stopListening: () => {
        told.push("stop-listening");
        return stopped.promise;
      },
      broadcast: ({ type }) => void told.push(type),
    },
    shutdown: { timeout: 10_000 },
    log: recordingLog((...line) => void told.push(line)),
  });
  void done.then(() => (isOver = true));
}
