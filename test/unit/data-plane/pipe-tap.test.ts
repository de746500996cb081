// What a tap sees of the frames that a pipe reads, however they come.
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NOBODY } from "../../../bench/micro/lone-pipe.ts";
import type { SourceLimits } from "../../../src/data-plane/connection-limits.ts";
import type { GateLimits } from "../../../src/data-plane/message-gate.ts";
import { OwnPings } from "../../../src/data-plane/own-pings.ts";
import type { TappedFrame } from "../../../src/data-plane/pipe-tap.ts";
import { Pipe } from "../../../src/data-plane/pipe.ts";
import { Bucket, BucketCells, BYTES_PER_CELL } from "../../../src/shared-memory/gcra.ts";
import { ReservedBits } from "../../../src/ws/protocol.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import { encodeFrame, type FrameSpec, opcodes } from "../../support/frames.ts";

const { text, binary, continuation, ping, pong, close } = opcodes;

class Fixture {
  readonly seen: TappedFrame[] = [];
  readonly pipe: Pipe;

  constructor() {
    this.pipe = new Pipe({
      owner: NOBODY,
      source: new FakeSocket().asSocket,
      sink: new FakeSocket().asSocket,
      masked: true,
      reservedBits: ReservedBits.rsv1,
      counters: { cells: new Float64Array(2), messages: 0, bytes: 1 },
    });
  }

  tap(): this {
    this.pipe.tap((frame) => this.seen.push(frame));
    return this;
  }

  limit(limits: Partial<SourceLimits>): this {
    const unlimited = { messages: null, maxMessageBytes: Number.POSITIVE_INFINITY, controlFrames: null };
    this.pipe.limit({ ...unlimited, ...limits }, () => performance.now() * 1e6);
    return this;
  }

  read(...frames: FrameSpec[]): this {
    this.pipe.onData(bytesOf(frames));
    return this;
  }

  /** What was done with each frame, and by which limit. */
  get fates(): string[] {
    return this.seen.map(
      ({ opcode, done, limit }) => `${opcode} ${done}${limit === null ? "" : ` ${limit}`}`,
    );
  }
}

function bytesOf(frames: readonly FrameSpec[]): Buffer {
  return Buffer.concat(frames.map((frame) => encodeFrame({ maskingKey: Buffer.alloc(4), ...frame })));
}

function burstOf(
  burst: number,
  onExceed: GateLimits["onExceed"],
  maxDelayMs = 600_000,
): Partial<SourceLimits> {
  const cells = new BucketCells(new SharedArrayBuffer(BYTES_PER_CELL));
  const bucket = new Bucket(cells, 0, { rate: 1 / 60, burst });
  return { messages: { messages: [bucket], names: ["tier"], bytes: null, onExceed, maxDelayMs } };
}

const message = { opcode: text, payload: "hello" };
const first = { opcode: binary, payload: "12", fin: false };
const last = { opcode: continuation, payload: "3" };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a tap", () => {
  test("sees the facts of each header", () => {
    const { seen } = new Fixture()
      .tap()
      .read(message, { ...first, rsv: 4 }, { opcode: ping, payload: "x" }, last, {
        opcode: close,
        payload: Buffer.from([3, 232]),
      });
    const facts = seen.map(({ opcode, fin, length, compressed }) => [opcode, fin, length, compressed]);
    expect(facts).toEqual([
      [text, true, 5, false],
      [binary, false, 2, true],
      [ping, true, 1, false],
      [continuation, true, 1, true],
      [close, true, 2, false],
    ]);
    expect(seen.every(({ timeMs }) => timeMs === Date.now())).toBe(true);
  });

  test("sees every frame once, however the bytes are cut", () => {
    const frames = [
      message,
      first,
      { opcode: ping, payload: "x" },
      last,
      { opcode: text, payload: "y".repeat(300) },
    ];
    const bytes = bytesOf([...frames, message]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 })), (cuts) => {
        const fixture = new Fixture().tap();
        let from = 0;
        for (const to of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
          fixture.pipe.onData(bytes.subarray(from, to));
          from = to;
        }
        const expected = [text, binary, ping, continuation, text, text].map((opcode) => `${opcode} passed`);
        expect(fixture.fates).toEqual(expected);
      }),
    );
  });

  test("that comes in the middle of a frame sees the next one", () => {
    const fixture = new Fixture();
    const bytes = bytesOf([first, last, message]);
    fixture.pipe.onData(bytes.subarray(0, 7));
    fixture.tap().pipe.onData(bytes.subarray(7));
    expect(fixture.fates).toEqual([`${continuation} passed`, `${text} passed`]);
  });

  test("that is taken off sees nothing more", () => {
    const fixture = new Fixture().tap().read(message);
    fixture.pipe.tap(null);
    expect(fixture.read(message).seen).toHaveLength(1);
  });
});

describe("what is done with a frame", () => {
  test("dropped: all frames of the message, and no control frame between them", () => {
    const fixture = new Fixture().tap().limit(burstOf(1, "drop"));
    fixture.read(message, first, { opcode: ping });
    fixture.read({ opcode: pong }, { ...last, fin: false });
    fixture.read(last);
    expect(fixture.fates).toEqual([
      `${text} passed`,
      `${binary} dropped tier`,
      `${ping} passed`,
      `${pong} passed`,
      `${continuation} dropped tier`,
      `${continuation} dropped tier`,
    ]);
    vi.advanceTimersByTime(60_000);
    expect(fixture.read(message).fates.at(-1)).toBe(`${text} passed`);
  });

  test("delayed: what waits, and what waits behind it", () => {
    const fixture = new Fixture().tap().limit(burstOf(1, "delay"));
    fixture.read(message, { opcode: ping }, message, { opcode: ping }, message);
    expect(fixture.fates).toEqual([
      `${text} passed`,
      `${ping} passed`,
      `${text} delayed tier`,
      `${ping} delayed tier`,
      `${text} delayed tier`,
    ]);
    fixture.pipe.stop();
  });

  test("refused: what ends the connection", () => {
    const closed = new Fixture().tap().limit(burstOf(1, "close")).read(message, message);
    expect(closed.fates).toEqual([`${text} passed`, `${text} refused tier`]);
    const late = new Fixture()
      .tap()
      .limit(burstOf(1, "delay", 1_000))
      .read(message, message);
    expect(late.fates).toEqual([`${text} passed`, `${text} refused tier`]);
    const big = new Fixture().tap().limit({ maxMessageBytes: 4 }).read(message);
    expect(big.fates).toEqual([`${text} refused limits.maxMessageSize`]);
  });

  test("passed, but with the limit named: what is only logged", () => {
    const fixture = new Fixture().tap().limit(burstOf(1, "log")).read(message, message);
    expect(fixture.fates).toEqual([`${text} passed`, `${text} passed tier`]);
  });

  test("consumed: a Pong that answers Weir's own Ping, and what follows it is seen once", () => {
    const fixture = new Fixture().tap();
    const pings = new OwnPings({ onRoundTrip: () => {}, nowMs: () => 0 });
    fixture.pipe.ownPings = pings;
    fixture.read(message, { opcode: pong, payload: pings.nextPayload() }, message, {
      opcode: pong,
      payload: "own",
    });
    expect(fixture.fates).toEqual([`${text} passed`, `${pong} consumed`, `${text} passed`, `${pong} passed`]);
  });

  test("consumed: a Close that ends the message which Weir's own Close waits for", () => {
    const fixture = new Fixture().tap().read(first);
    fixture.pipe.finish();
    fixture.pipe.close(bytesOf([{ opcode: close }]));
    fixture.read({ ...last, fin: false }, { opcode: ping }, { opcode: close });
    expect(fixture.fates).toEqual([
      `${binary} passed`,
      `${continuation} passed`,
      `${ping} passed`,
      `${close} consumed`,
    ]);
  });

  test("delayed, and told once: a Close behind what waits", () => {
    const fixture = new Fixture().tap().limit(burstOf(1, "delay")).read(message, message, { opcode: close });
    fixture.pipe.stop();
    expect(fixture.fates).toEqual([`${text} passed`, `${text} delayed tier`, `${close} delayed tier`]);
  });

  test("consumed: the peer's Close after Weir's own", () => {
    const fixture = new Fixture().tap();
    fixture.pipe.close(bytesOf([{ opcode: close }]));
    fixture.read(message, { opcode: close });
    expect(fixture.fates).toEqual([`${close} consumed`]);
  });
});
