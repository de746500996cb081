// The gate on its own: what it lets through of a chunk, what it tells its owner, and what it waits for, on
// a clock that the test turns.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { type GateLimits, MessageGate } from "../../../src/data-plane/message-gate.ts";
import { Bucket, BucketCells, BYTES_PER_CELL, type Limit } from "../../../src/shared-memory/gcra.ts";
import { FrameScanner } from "../../../src/ws/frame-scanner.ts";
import { decodeFrame, encodeFrame, type FrameSpec, opcodes } from "../../support/frames.ts";

const cells = new BucketCells(new SharedArrayBuffer(BYTES_PER_CELL * 64));
let nextCell = 0;

/** By how much the thread was kept from its timers so far. */
let stoodStillMs = 0;

function nowNs(): number {
  return (performance.now() + stoodStillMs) * 1e6;
}

/** A cell of its own for each: as a new user's. */
function bucket(limit: Limit): Bucket {
  return new Bucket(cells, nextCell++, limit);
}

const scannerOptions = { masked: true, reservedBits: 0 };

/** A gate with the scanner of its pipe, and all that it did, in order. */
class Fixture {
  readonly told: string[] = [];
  readonly gate: MessageGate;
  readonly #scanner = new FrameScanner(scannerOptions);

  constructor(limits: Partial<GateLimits>) {
    const owner = {
      forward: (bytes: Buffer, messages: number) =>
        void this.told.push(`${describeFrames(bytes)} (${messages})`),
      pauseSource: () => void this.told.push("pause"),
      resumeSource: () => void this.told.push("resume"),
      onLimited: (action: string, messages: number, retryAfterMs: number) =>
        void this.told.push(`${action} ${messages}, retry after ${Math.round(retryAfterMs)}`),
      onDelayed: (delayMs: number) => void this.told.push(`after ${Math.round(delayMs)}`),
      onHeldPassed: () => void this.told.push("all passed"),
      onRateExceeded: () => void this.told.push("exceeded"),
    };
    this.gate = new MessageGate(owner, limitsOf(limits), new FrameScanner(scannerOptions), nowNs);
  }

  /** Reads a chunk as the pipe does, and returns what the gate said and did. */
  pass(...frames: FrameSpec[]): string[] {
    this.gate.beforeChunk(this.#scanner);
    const bytes = this.#scanner.feed(encode(frames));
    const starts = new Int32Array(100);
    let messages = 0;
    let at = 0;
    for (;;) {
      at = this.#scanner.next(bytes, at);
      if (!this.#scanner.frameReady) break;
      if (this.#scanner.isMessageStart) starts[messages++] = this.#scanner.frameStart;
    }
    const isInside = !this.#scanner.isAtMessageBoundary;
    this.told.push(this.gate.pass({ bytes, end: at, starts, messages }, isInside));
    return this.told.splice(0);
  }

  /** Lets time pass and returns what happened in it. */
  after(ms: number): string[] {
    vi.advanceTimersByTime(ms);
    return this.told.splice(0);
  }
}

function limitsOf(limits: Partial<GateLimits>): GateLimits {
  return { messages: [], names: [], bytes: null, onExceed: "delay", maxDelayMs: 10_000, ...limits };
}

function encode(frames: readonly FrameSpec[]): Buffer {
  return Buffer.concat(frames.map((frame) => encodeFrame({ maskingKey: Buffer.alloc(4), ...frame })));
}

/** The payloads of these whole frames. */
function describeFrames(bytes: Buffer): string {
  const payloads: string[] = [];
  let rest = bytes;
  for (;;) {
    const decoded = decodeFrame(rest);
    if (decoded === undefined) return payloads.join(" ");
    payloads.push(decoded.frame.payload.toString());
    rest = rest.subarray(decoded.length);
  }
}

function text(payload: string): FrameSpec {
  return { opcode: opcodes.text, payload };
}

function fragment(payload: string, fin = false): FrameSpec {
  return { opcode: opcodes.continuation, fin, payload };
}

function ping(payload: string): FrameSpec {
  return { opcode: opcodes.ping, payload };
}

beforeEach(() => {
  stoodStillMs = 0;
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("with delay", () => {
  test("what conforms goes at once, the rest one by one as tokens come, with what stands between", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 10, burst: 2 })] });
    expect(fixture.pass(text("a"), text("b"), ping("1"), text("c"), ping("2"), text("d"))).toEqual([
      "delay 2, retry after 100",
      "a b 1 (2)",
      "pause",
      "held",
    ]);
    expect(fixture.gate.isWaiting).toBe(true);
    expect(fixture.gate.isHoldingBack).toBe(true);
    expect(fixture.after(99)).toEqual([]);
    expect(fixture.after(1)).toEqual(["after 100", "c 2 (1)"]);
    expect(fixture.after(100)).toEqual(["after 200", "d (1)", "all passed", "resume"]);
    expect(fixture.gate.isWaiting).toBe(false);
    expect(fixture.gate.isHoldingBack).toBe(false);
  });

  test("a message that would wait longer than maxDelay ends the connection", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })], maxDelayMs: 2_000 });
    expect(fixture.pass(text("a"), text("b"), text("c"), text("d"))).toEqual([
      "delay 3, retry after 1000",
      "a (1)",
      "exceeded",
      "ended",
    ]);
    expect(fixture.pass(text("b"), text("c")).at(-1)).toBe("held");
  });

  test("the fragments that follow need no token", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })] });
    const more = { opcode: opcodes.continuation, fin: false, payload: "more" };
    expect(fixture.pass({ opcode: opcodes.text, fin: false, payload: "a" })).toEqual(["a (1)", "passed"]);
    expect(fixture.pass(more, more)).toEqual(["more more (0)", "passed"]);
    expect(fixture.pass({ ...more, fin: true }, text("b"))).toEqual([
      "delay 1, retry after 1000",
      "more (0)",
      "pause",
      "held",
    ]);
    fixture.gate.stop();
  });

  test("of two buckets the slower one counts, and neither is charged twice", () => {
    const messages = [bucket({ rate: 10, burst: 1 }), bucket({ rate: 2, burst: 1 })];
    const fixture = new Fixture({ messages });
    expect(fixture.pass(text("a"), text("b")).slice(-2)).toEqual(["pause", "held"]);
    expect(fixture.after(499)).toEqual([]);
    expect(fixture.after(1)).toEqual(["after 500", "b (1)", "all passed", "resume"]);
    expect(messages.map((each) => Math.round(each.level(nowNs())))).toEqual([1, 0]);
  });

  test("a wait that is given up gives its tokens back", () => {
    const messages = [bucket({ rate: 1, burst: 2 }), bucket({ rate: 2, burst: 2 })];
    const fixture = new Fixture({ messages });
    expect(fixture.pass(text("a"), text("b"), text("c")).at(-1)).toBe("held");
    expect(messages.map((each) => Math.round(each.level(nowNs())))).toEqual([-1, -1]);
    fixture.gate.stop();
    expect(messages.map((each) => Math.round(each.level(nowNs())))).toEqual([0, 0]);
    expect(fixture.after(60_000)).toEqual([]);
  });

  test("a wait that is given up after a reload gives them back, too", () => {
    const cell = nextCell++;
    const bucketOf = (limit: Limit): Bucket => new Bucket(cells, cell, limit);
    const fixture = new Fixture({ messages: [bucketOf({ rate: 1, burst: 2 })] });
    expect(fixture.pass(text("a"), text("b"), text("c")).at(-1)).toBe("held");
    fixture.gate.changeLimits(limitsOf({ messages: [bucketOf({ rate: 1, burst: 2 })] }));
    fixture.gate.stop();
    expect(Math.round(bucketOf({ rate: 1, burst: 2 }).level(nowNs()))).toBe(0);
  });

  test("limits that are lifted let the rest go after the wait that has begun", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })] });
    fixture.pass(text("a"), text("b"), text("c"), text("d"));
    fixture.gate.changeLimits(limitsOf({}));
    expect(fixture.after(1_000).filter((each) => each.endsWith("(1)"))).toEqual(["b (1)", "c (1)", "d (1)"]);
  });

  test("a thread that was kept from its timers makes up for it, and so does the next read", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 100, burst: 1 })] });
    fixture.pass(text("a"), text("b"), text("c"), text("d"));
    stoodStillMs = 60;
    expect(fixture.after(10)).toEqual([
      "after 10",
      "b (1)",
      "after 10",
      "c (1)",
      "after 10",
      "d (1)",
      "all passed",
      "resume",
    ]);
    stoodStillMs += 4;
    expect(fixture.pass(text("e"), text("f"), text("g"), text("h"), text("i"))).toEqual([
      "delay 1, retry after 6",
      "e f g h (4)",
      "pause",
      "held",
    ]);
  });

  test("tokens that come while the gate decides leave nothing to wait for", () => {
    // So fast that the time between two readings of the clock is worth a token.
    let readings = 0;
    const told: string[] = [];
    const owner = {
      forward: (bytes: Buffer) => void told.push(describeFrames(bytes)),
      pauseSource: () => {},
      resumeSource: () => {},
      onLimited: () => {},
      onDelayed: () => {},
      onHeldPassed: () => {},
      onRateExceeded: () => {},
    };
    const limits = limitsOf({ messages: [bucket({ rate: 1_000, burst: 1 })] });
    const gate = new MessageGate(owner, limits, new FrameScanner(scannerOptions), () => (readings += 1e6));
    const bytes = encode([text("a"), text("b")]);
    const starts = Int32Array.of(0, bytes.length / 2);
    expect(gate.pass({ bytes, end: bytes.length, starts, messages: 2 }, false)).toBe("passed");
    expect(told).toEqual(["a", "b"]);
    expect(gate.isWaiting).toBe(false);
  });
});

describe("with drop", () => {
  test("a message vanishes with its fragments, and control frames go on", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })], onExceed: "drop" });
    expect(fixture.pass(text("a"), { ...text("b"), fin: false }, ping("1"), fragment("b2"))).toEqual([
      "drop 1, retry after 1000",
      "a (1)",
      "1 (0)",
      "passed",
    ]);
    expect(fixture.gate.isHoldingBack).toBe(true);
    expect(fixture.gate.isWaiting).toBe(false);
    expect(fixture.pass(fragment("b3"), ping("2"))).toEqual(["2 (0)", "passed"]);
    vi.advanceTimersByTime(1_000);
    expect(fixture.pass(fragment("b4", true), ping("3"), text("c"), ping("4"))).toEqual([
      "3 (0)",
      "c 4 (1)",
      "passed",
    ]);
    expect(fixture.gate.isHoldingBack).toBe(false);
  });

  test("the rest of a chunk is dropped message by message", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 2 })], onExceed: "drop" });
    expect(fixture.pass(text("a"), text("b"), text("c"), ping("1"), text("d"), ping("2"))).toEqual([
      "drop 2, retry after 1000",
      "a b (2)",
      "1 (0)",
      "2 (0)",
      "passed",
    ]);
    expect(fixture.gate.isHoldingBack).toBe(false);
  });

  test("a message that is being dropped is dropped to its end under any other limits", () => {
    const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })], onExceed: "drop" });
    fixture.pass(text("a"), { ...text("b"), fin: false });
    fixture.gate.changeLimits(limitsOf({ onExceed: "log" }));
    expect(fixture.pass(fragment("b2", true), text("c"))).toEqual(["c (1)", "passed"]);
  });
});

test("with close the first message above the limit ends the connection", () => {
  const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })], onExceed: "close" });
  expect(fixture.pass(text("a"), ping("1"), text("b"), text("c"))).toEqual([
    "close 2, retry after 1000",
    "a 1 (1)",
    "exceeded",
    "ended",
  ]);
});

test("with log all goes on, and what is above the limit is told", () => {
  const fixture = new Fixture({ messages: [bucket({ rate: 1, burst: 1 })], onExceed: "log" });
  expect(fixture.pass(text("a"), text("b"), text("c"))).toEqual([
    "log 2, retry after 1000",
    "a b c (3)",
    "passed",
  ]);
});

describe("with a limit of bytes", () => {
  test("what passes is charged, and the source rests until the debt is paid", () => {
    const fixture = new Fixture({ bytes: bucket({ rate: 100, burst: 100 }) });
    expect(fixture.pass(text("x".repeat(94)))).toEqual([`${"x".repeat(94)} (1)`, "passed"]);
    expect(fixture.pass(text("y".repeat(44)))).toEqual([`${"y".repeat(44)} (1)`, "pause", "passed"]);
    expect(fixture.gate.isWaiting).toBe(true);
    expect(fixture.after(499)).toEqual([]);
    expect(fixture.after(2)).toEqual(["resume"]);
    expect(fixture.gate.isWaiting).toBe(false);
  });

  test("the source rests until both its bytes are paid and its message has gone", () => {
    const limits = { bytes: bucket({ rate: 100, burst: 1 }), messages: [bucket({ rate: 1, burst: 1 })] };
    const fixture = new Fixture(limits);
    fixture.pass(text("a"), text("x".repeat(144)));
    // The second message goes after a second, and its 150 bytes take one and a half more.
    expect(fixture.after(1_400)).toContain("all passed");
    expect(fixture.gate.isWaiting).toBe(true);
    expect(fixture.after(1_200)).toEqual(["resume"]);
  });

  test("a thread that was kept from its timers costs no bytes", () => {
    const fixture = new Fixture({ bytes: bucket({ rate: 1_000, burst: 100 }) });
    const frame = text("x".repeat(94));
    expect(fixture.pass(frame, frame).slice(1)).toEqual(["pause", "passed"]);
    stoodStillMs = 90;
    expect(fixture.after(101)).toEqual(["resume"]);
    expect(fixture.pass(frame, frame).slice(1)).toEqual(["pause", "passed"]);
    // 200 ms of debt less the 90 that it began late, and what timers are rounded by.
    expect(fixture.after(107)).toEqual([]);
    expect(fixture.after(3)).toEqual(["resume"]);
  });

  test("a source that goes takes its wait with it", () => {
    const fixture = new Fixture({ bytes: bucket({ rate: 1, burst: 1 }) });
    fixture.pass(text("x".repeat(94)));
    fixture.gate.stop();
    expect(fixture.after(1_000_000)).toEqual([]);
    expect(fixture.gate.isWaiting).toBe(false);
  });
});
