// The taps of a thread: whose frames they see, and how much of them is kept.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { OpenConnection } from "../../../src/data-plane/connections.ts";
import type { FrameSink, TappedFrame } from "../../../src/data-plane/pipe-tap.ts";
import { Taps } from "../../../src/data-plane/taps.ts";
import type { ToControl } from "../../../src/shared-memory/channel.ts";
import type { TappedFrameView } from "../../../src/shared-memory/tapped-frame.ts";
import { opcodes } from "../../support/frames.ts";

type Tapped = Extract<ToControl, { type: "tapped" }>;

/** As much of an open connection as a tap touches. */
class FakeConnection {
  readonly facts: { readonly user: string; readonly tier: string; readonly route: string };
  sink: FrameSink | null = null;
  readonly connection = {
    toBackend: { tap: (sink: FrameSink | null) => void (this.sink = sink) },
    toClient: { tap: () => {} },
  };

  constructor(user: string) {
    this.facts = { user, tier: "guest", route: "*/play" };
  }

  pass(frames = 1, limit: TappedFrame["limit"] = null): void {
    for (let i = 0; i < frames; i += 1) {
      this.sink?.({
        timeMs: Date.UTC(2026, 0, 1),
        opcode: opcodes.text,
        fin: true,
        length: 5,
        compressed: false,
        done: "passed",
        limit,
      });
    }
  }

  get open(): OpenConnection {
    return this as unknown as OpenConnection;
  }
}

let posted: Tapped[];
let taps: Taps;
let connections: FakeConnection[];

beforeEach(() => {
  vi.useFakeTimers();
  posted = [];
  connections = ["ann", "ann", "bob"].map((user) => new FakeConnection(user));
  taps = new Taps({ post: (message) => void posted.push(message as Tapped) });
});

afterEach(() => {
  vi.useRealTimers();
});

function add(id: number, filter: { user: string } | { connection: number }): void {
  taps.add(
    { id, filter, idPrefix: "7-" },
    connections.map((one, index) => [index, one.open] as const),
  );
}

function framesOf({ frames }: Tapped): TappedFrameView[] {
  return JSON.parse(`[${frames}]`) as TappedFrameView[];
}

test("a tap sees all connections of its user, those that open later too, and nobody else's", () => {
  add(1, { user: "ann" });
  const late = new FakeConnection("ann");
  taps.onOpened(9, late.open);
  for (const connection of [...connections, late]) connection.pass();
  vi.advanceTimersByTime(50);
  expect(posted).toHaveLength(1);
  expect(posted[0]).toMatchObject({ tap: 1, count: 3, lost: 0, isOver: false });
  const seen = posted.flatMap((batch) => framesOf(batch));
  expect(seen.map(({ connection, user }) => [connection, user])).toEqual([
    ["7-0", "ann"],
    ["7-1", "ann"],
    ["7-9", "ann"],
  ]);
  expect(seen[0]).toEqual({
    time: "2026-01-01T00:00:00.000Z",
    connection: "7-0",
    user: "ann",
    direction: "client_to_backend",
    opcode: "text",
    fin: true,
    length: 5,
    compressed: false,
    done: "passed",
    limit: null,
  });
});

test("a limit goes by the name of what it belongs to", () => {
  add(1, { user: "bob" });
  for (const limit of ["tier", "route", "limits.maxMessageSize", null] as const)
    connections[2]?.pass(1, limit);
  vi.advanceTimersByTime(50);
  const limits = posted.flatMap((batch) => framesOf(batch)).map(({ limit }) => limit);
  expect(limits).toEqual(["tier:guest", "route:*/play", "limits.maxMessageSize", null]);
});

test("several taps on one connection see the same, and the last one to go takes the tap off", () => {
  add(1, { user: "bob" });
  add(2, { connection: 2 });
  connections[2]?.pass();
  vi.advanceTimersByTime(50);
  expect(posted.map(({ tap, count }) => [tap, count])).toEqual([
    [1, 1],
    [2, 1],
  ]);
  taps.remove(1, (id) => connections[id]?.open);
  expect(connections[2]?.sink).not.toBeNull();
  taps.remove(2, (id) => connections[id]?.open);
  expect(connections[2]?.sink).toBeNull();
  expect(vi.getTimerCount()).toBe(0);
});

test("what comes before the last batch has arrived is kept up to a bound, and counted beyond it", () => {
  add(1, { connection: 2 });
  connections[2]?.pass(1_200);
  vi.advanceTimersByTime(50);
  expect(posted[0]).toMatchObject({ count: 500, lost: 700 });
  connections[2]?.pass(5_000);
  vi.advanceTimersByTime(60_000);
  expect(posted).toHaveLength(1);
  taps.onArrived(1);
  vi.advanceTimersByTime(50);
  expect(posted[1]).toMatchObject({ count: 500, lost: 4_500 });
  taps.onArrived(1);
  vi.advanceTimersByTime(60_000);
  expect(posted).toHaveLength(2);
});

test("a tap on one connection is over with it, behind its last frames; one on a user is not", () => {
  add(1, { connection: 0 });
  add(2, { user: "ann" });
  connections[0]?.pass();
  taps.onEnded(0);
  vi.advanceTimersByTime(50);
  expect(posted.map(({ tap, count, isOver }) => [tap, count, isOver])).toEqual([
    [1, 1, true],
    [2, 1, false],
  ]);
});

test("a tap on a connection that has ended meanwhile is over at once", () => {
  add(1, { connection: 99 });
  vi.advanceTimersByTime(50);
  expect(posted).toMatchObject([{ tap: 1, count: 0, isOver: true }]);
});
