import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { drain } from "../../../src/control-plane/drain.ts";
import { RequestCounts } from "../../../src/control-plane/request-counts.ts";
import { recordingLog } from "../../support/recording-log.ts";

/** Everything that the drain told others, in order. */
let told: unknown[];
let admission: { connections: number; requests: RequestCounts; startDraining: () => void };
let stopped: PromiseWithResolvers<void>;
let saved: PromiseWithResolvers<void>;
let isOver: boolean;
let isReplaced: boolean;

/** What is told where nothing but the goodbye is asked for. */
const steps = [
  "stop listening",
  "refuse",
  expect.arrayContaining(["draining"]),
  "announce-drain",
  "save",
  "close-all",
];

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  admission = {
    connections: 0,
    requests: new RequestCounts(),
    startDraining: () => void told.push("refuse"),
  };
  stopped = Promise.withResolvers();
  saved = Promise.withResolvers();
  saved.resolve();
  isOver = false;
  isReplaced = false;
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the end of the drain", () => {
  test("comes as soon as the listeners are closed, where nobody is connected", async () => {
    start();
    await vi.advanceTimersByTimeAsync(900);
    expect(isOver).toBe(false);
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(20);
    expect(isOver).toBe(true);
    // Also who has asked for nothing so far.
    expect(typesOf(told)).toEqual([...steps, "destroy-all"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("comes at the deadline, where a thread does not answer; the others have said goodbye long since", async () => {
    start();
    expect(typesOf(told)).toEqual(steps.slice(0, 4));
    await vi.advanceTimersByTimeAsync(0);
    expect(typesOf(told)).toEqual(steps);
    await vi.advanceTimersByTimeAsync(9_499);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(30);
    expect(isOver).toBe(true);
    expect(told.at(-1)).toEqual({ type: "destroy-all" });
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
    expect(told).not.toContainEqual(expect.arrayContaining(["warn"]));
  });

  test("waits for the state to be written, and not past the deadline", async () => {
    saved = Promise.withResolvers();
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(9_900);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(120);
    expect(isOver).toBe(true);
    expect(told).not.toContainEqual(expect.arrayContaining(["warn"]));
  });

  test("lets the threads report what was cut, and is within the timeout all the same", async () => {
    admission.connections = 2;
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(9_520);
    expect(told.at(-2)).toEqual([
      "warn",
      "shutdown timeout reached, cutting connections",
      { connections: 2, requests: 0 },
    ]);
    expect(told.at(-1)).toEqual({ type: "destroy-all" });
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(500);
    expect(isOver).toBe(true);
  });

  test("comes once what was cut is reported", async () => {
    admission.connections = 1;
    start();
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(9_520);
    admission.connections = 0;
    await vi.advanceTimersByTimeAsync(20);
    expect(isOver).toBe(true);
  });
});

describe("before the goodbye", () => {
  test("everything is served for readyDelay, whoever is connected", async () => {
    start({ readyDelay: 3_000 });
    await vi.advanceTimersByTimeAsync(2_990);
    expect(told.filter((one) => !Array.isArray(one))).toEqual([]);
    await vi.advanceTimersByTimeAsync(30);
    expect(told).toContain("stop listening");
  });

  test("clients have their grace, and hear how long it is", async () => {
    admission.connections = 7;
    start({ grace: 4_000 });
    expect(told.at(-1)).toEqual({ type: "announce-drain", graceMs: 4_000 });
    await vi.advanceTimersByTimeAsync(3_990);
    expect(told).not.toContain("save");
    await vi.advanceTimersByTimeAsync(30);
    expect(told.at(-1)).toMatchObject({ type: "close-all" });
  });

  test("the grace ends once all have left", async () => {
    admission.connections = 7;
    start({ grace: 4_000 });
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(500);
    admission.connections = 0;
    await vi.advanceTimersByTimeAsync(60);
    expect(isOver).toBe(true);
  });

  test("neither takes from the time for the closing handshakes", async () => {
    admission.connections = 7;
    start({ readyDelay: 5_000, grace: 5_000 });
    await vi.advanceTimersByTimeAsync(7_480);
    expect(told).not.toContain("save");
    await vi.advanceTimersByTimeAsync(60);
    expect(told.at(-1)).toMatchObject({ type: "close-all", spreadMs: 0, withinMs: 0 });
  });
});

describe("the goodbye", () => {
  test.each([
    ["is spread as configured", 5_000, { spread: 5_000 }, { spreadMs: 5_000, withinMs: 7_500 }],
    ["has 50 closes a second at the least", 10, { spread: 5_000 }, { spreadMs: 200 }],
    ["leaves the peers timeouts.close to answer", 5_000, { spread: 20_000 }, { spreadMs: 7_500 }],
    ["is said at once where that is asked for", 5_000, {}, { spreadMs: 0, withinMs: 7_500 }],
  ])("%s", async (_what, connections, shutdown, expected) => {
    admission.connections = connections;
    start(shutdown);
    await vi.advanceTimersByTimeAsync(0);
    expect(told.at(-1)).toMatchObject({ type: "close-all", reason: "draining", ...expected });
  });
});

describe("where another process serves already", () => {
  const replacedSteps = [
    ["stop accepting", 2_000],
    "stop listening",
    "refuse",
    expect.arrayContaining(["draining"]),
    "announce-drain",
    "close-all",
    "destroy-all",
  ];

  test("nobody has to notice, who was accepted is served first, and the state is the other's", async () => {
    isReplaced = true;
    start({ readyDelay: 5_000 });
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(20);
    expect(isOver).toBe(true);
    expect(typesOf(told)).toEqual(replacedSteps);
  });

  test("readyDelay ends as it comes", async () => {
    start({ readyDelay: 5_000 });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told).not.toContain("stop listening");
    isReplaced = true;
    stopped.resolve();
    await vi.advanceTimersByTimeAsync(60);
    expect(isOver).toBe(true);
    expect(told).not.toContain("save");
  });
});

test("who is left is logged every second, from the beginning", async () => {
  admission.connections = 3;
  start({ readyDelay: 1_500 });
  await vi.advanceTimersByTimeAsync(1_100);
  admission.connections = 2;
  await vi.advanceTimersByTimeAsync(1_000);
  const lines = told.filter((one) => Array.isArray(one) && one[1] === "draining");
  // At one second, as the listeners close, and at two seconds.
  expect(lines).toEqual([3, 2, 2].map((connections) => ["info", "draining", { connections, requests: 0 }]));
});

function start(shutdown: { readyDelay?: number; grace?: number; spread?: number } = {}): void {
  const done = drain({
    admission,
    workers: {
      stopAccepting: async (withinMs) => void told.push(["stop accepting", withinMs]),
      stopListening: () => {
        told.push("stop listening");
        return stopped.promise;
      },
      broadcast: (message) => void told.push(message),
    },
    shutdown: { readyDelay: 0, grace: 0, spread: 0, ...shutdown, timeout: 10_000 },
    closeTimeoutMs: 2_000,
    saveState: () => {
      told.push("save");
      return saved.promise;
    },
    isReplaced: () => isReplaced,
    log: recordingLog((...line) => void told.push(line)),
  });
  void done.then(() => (isOver = true));
}

/** Messages to the threads by their type. */
function typesOf(all: readonly unknown[]): unknown[] {
  return all.map((one) => (typeof one === "object" && one !== null && "type" in one ? one.type : one));
}
