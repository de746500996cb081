// One direction of a relay between sockets that are none: what the end-to-end tests cannot time, or see.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { SourceLimits } from "../../../src/data-plane/connection-limits.ts";
import type { GateLimits } from "../../../src/data-plane/message-gate.ts";
import type { PipeOwner } from "../../../src/data-plane/pipe-owner.ts";
import { OwnPings } from "../../../src/data-plane/own-pings.ts";
import { Pipe } from "../../../src/data-plane/pipe.ts";
import { Bucket, BucketCells, BYTES_PER_CELL } from "../../../src/shared-memory/gcra.ts";
import { FakeSocket } from "../../support/fake-socket.ts";
import { encodeFrame, type FrameSpec, opcodes } from "../../support/frames.ts";

const ping = { opcode: opcodes.ping };
const close = { opcode: opcodes.close };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function text(payload: string, more: Partial<FrameSpec> = {}): FrameSpec {
  return { opcode: opcodes.text, payload, ...more };
}

/** A pipe, what it told its owner, and what it wrote. */
class Fixture {
  readonly told: string[] = [];
  readonly pipe: Pipe;
  /** What the owner does about a flood. */
  onControlFlood = (): void => {};
  readonly #sink = new FakeSocket();
  readonly #isMasked: boolean;

  constructor(direction: "from client" | "from backend") {
    this.#isMasked = direction === "from client";
    const tell = (what: string) => () => void this.told.push(what);
    const owner: PipeOwner = {
      onCloseReceived: tell("close received"),
      onCloseSent: tell("close sent"),
      onFinished: tell("finished"),
      onProtocolError: tell("protocol error"),
      onMessageTooBig: tell("too big"),
      onControlFlood: () => {
        this.told.push("control flood");
        this.onControlFlood();
      },
      onLimited: tell("limited"),
      onDelayed: tell("delayed"),
      onRateExceeded: tell("rate exceeded"),
      onSourceEnd: tell("source end"),
      onSourceClosed: tell("source closed"),
      onDrain: tell("drain"),
    };
    this.pipe = new Pipe({
      owner,
      source: new FakeSocket().asSocket,
      sink: this.#sink.asSocket,
      masked: this.#isMasked,
      reservedBits: 0,
      counters: { cells: new Float64Array(2), messages: 0, bytes: 1 },
    });
  }

  /** The bytes of these frames, as this pipe's source sends them. */
  bytes(...frames: FrameSpec[]): Buffer {
    const mask = this.#isMasked ? { maskingKey: Buffer.alloc(4) } : {};
    return Buffer.concat(frames.map((frame) => encodeFrame({ ...mask, ...frame })));
  }

  /** Reads these frames as one chunk; returns its size. */
  read(...frames: FrameSpec[]): number {
    const chunk = this.bytes(...frames);
    this.pipe.onData(chunk);
    return chunk.length;
  }

  limit(limits: Partial<SourceLimits>): void {
    const unlimited = { messages: null, maxMessageBytes: Number.POSITIVE_INFINITY, controlFrames: null };
    this.pipe.limit({ ...unlimited, ...limits }, () => performance.now() * 1e6);
  }

  get written(): Buffer {
    return Buffer.concat(this.#sink.written);
  }
}

function oneMessageAMinute(onExceed: GateLimits["onExceed"]): GateLimits {
  const cells = new BucketCells(new SharedArrayBuffer(BYTES_PER_CELL));
  const bucket = new Bucket(cells, 0, { rate: 1 / 60, burst: 1 });
  return { messages: [bucket], names: ["tier"], bytes: null, onExceed, maxDelayMs: 600_000 };
}

describe("what was read", () => {
  test("counts where the message is dropped", () => {
    const fixture = new Fixture("from client");
    fixture.limit({ messages: oneMessageAMinute("drop") });
    const passed = fixture.read(text("a"));
    const dropped = fixture.read(text("b"));
    expect(fixture.written).toHaveLength(passed);
    expect(fixture.pipe.bytesRead).toBe(passed + dropped);
  });

  test("counts at once where the message waits", () => {
    const fixture = new Fixture("from client");
    fixture.limit({ messages: oneMessageAMinute("delay") });
    const sizes = [fixture.read(text("a")), fixture.read(text("b"))];
    expect(fixture.pipe.bytesRead).toBe((sizes[0] ?? 0) + (sizes[1] ?? 0));
    expect(fixture.written).toHaveLength(sizes[0] ?? 0);
    fixture.pipe.stop();
  });

  test("counts behind a Close of ours, and where a header is not whole", () => {
    const fixture = new Fixture("from client");
    fixture.pipe.close(fixture.bytes(close));
    const sizes = [fixture.read(text("late")), fixture.read(ping)];
    fixture.pipe.onData(fixture.bytes(ping).subarray(0, 1));
    expect(fixture.pipe.bytesRead).toBe((sizes[0] ?? 0) + (sizes[1] ?? 0) + 1);
  });
});

describe("a text of ours", () => {
  const notice = Buffer.from(encodeFrame(text("notice")));
  const firstPart = text("1", { fin: false });
  const lastPart = { opcode: opcodes.continuation, payload: "2" };

  /** A pipe in the middle of a fragmented message, with a text that waits for its end. */
  function waiting(): Fixture {
    const fixture = new Fixture("from backend");
    fixture.read(firstPart);
    fixture.pipe.notify(notice);
    expect(fixture.written).toEqual(fixture.bytes(firstPart));
    return fixture;
  }

  test("goes out at once between messages", () => {
    const fixture = new Fixture("from backend");
    fixture.pipe.notify(notice);
    expect(fixture.written).toEqual(notice);
  });

  test("waits for the end of the message in flight, control frames let by", () => {
    const fixture = waiting();
    fixture.read(ping);
    fixture.read(lastPart, ping);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, lastPart, ping, text("notice")));
  });

  test("goes before the message that follows in the same chunk", () => {
    const fixture = waiting();
    fixture.read(lastPart, text("next"), firstPart);
    const expected = fixture.bytes(firstPart, lastPart, text("notice"), text("next"), firstPart);
    expect(fixture.written).toEqual(expected);
  });

  // RFC 6455 §5.5.1: nothing follows a Close.
  test("does not follow the source's Close", () => {
    const fixture = waiting();
    fixture.read(lastPart, close);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, lastPart, close));
    expect(fixture.told).toEqual(["close received"]);
  });

  test("waits beside others, of which there are four at most: the last of them is replaced", () => {
    const fixture = waiting();
    const texts = ["2", "3", "4", "5"].map((payload) => text(payload));
    for (const one of texts) expect(fixture.pipe.notify(fixture.bytes(one))).toBe(true);
    fixture.read(lastPart);
    const [second, third, , last] = texts;
    const expected = [text("notice"), second, third, last].filter((one) => one !== undefined);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, lastPart, ...expected));
  });

  test("is not taken where nothing goes through any more", () => {
    const fixture = waiting();
    fixture.pipe.stop();
    expect(fixture.pipe.notify(notice)).toBe(false);
  });

  test("does not count as a message of the source", () => {
    const fixture = waiting();
    const passed = fixture.read(lastPart) + fixture.bytes(firstPart).length;
    expect(fixture.pipe.writer).toMatchObject({ messages: 1, bytes: passed });
  });
});

describe("the limit of control frames", () => {
  const controlFrames = { rate: 1, burst: 3 };

  test("is not filled up by a reload, nor by a change of the user's buckets", () => {
    const fixture = new Fixture("from client");
    fixture.limit({ controlFrames });
    fixture.read(ping, ping, ping);
    fixture.limit({ controlFrames });
    expect(fixture.told).toEqual([]);
    fixture.read(ping);
    expect(fixture.told).toEqual(["control flood"]);
  });

  test("is lifted by a reload", () => {
    const fixture = new Fixture("from client");
    fixture.limit({ controlFrames });
    fixture.limit({ controlFrames: null });
    fixture.read(ping, ping, ping, ping);
    expect(fixture.told).toEqual([]);
  });
});

describe("a Ping of ours", () => {
  const ours = Buffer.from(encodeFrame({ opcode: opcodes.ping, payload: "of Weir." }));
  const data = text("0123456789");

  function pinged(fixture: Fixture): string[] {
    const flushed: string[] = [];
    fixture.pipe.ping(ours, () => void flushed.push("flushed"));
    return flushed;
  }

  test("goes out at once between frames, and inside a fragmented message", () => {
    const fixture = new Fixture("from backend");
    pinged(fixture);
    const first = text("1", { fin: false });
    fixture.read(first);
    pinged(fixture);
    expect(fixture.written).toEqual(Buffer.concat([ours, fixture.bytes(first), ours]));
  });

  test.for(["from client", "from backend"] as const)(
    "waits for the end of the frame in flight, %s, wherever the chunks are cut",
    (direction) => {
      const whole = new Fixture(direction).bytes(data);
      const begun = new Fixture(direction).bytes(text("")).length + 1;
      for (let cut = begun; cut < whole.length; cut += 1) {
        for (let extra = 0; extra <= whole.length; extra += 1) {
          const fixture = new Fixture(direction);
          fixture.limit({ messages: { ...oneMessageAMinute("log") } });
          fixture.pipe.onData(whole.subarray(0, cut));
          expect(pinged(fixture)).toEqual([]);
          fixture.pipe.onData(Buffer.concat([whole.subarray(cut), whole.subarray(0, extra)]));
          fixture.pipe.onData(whole.subarray(extra));
          expect(fixture.written).toEqual(Buffer.concat([whole, ours, whole]));
        }
      }
    },
  );

  test("tells when it has left", async () => {
    vi.useRealTimers();
    const fixture = new Fixture("from backend");
    const flushed = pinged(fixture);
    await vi.waitFor(() => expect(flushed).toEqual(["flushed"]));
  });

  test("goes nowhere once the source has closed, or we have", () => {
    const closed = new Fixture("from backend");
    closed.read(close);
    pinged(closed);
    expect(closed.written).toEqual(closed.bytes(close));
    const closing = new Fixture("from backend");
    closing.pipe.onData(closing.bytes(data).subarray(0, 5));
    pinged(closing);
    closing.pipe.close(closing.bytes(close));
    closing.pipe.onData(closing.bytes(data).subarray(5));
    expect(closing.written).toEqual(closing.bytes(data, close));
  });
});

/** A pipe whose source has been sent this many Pings, and the Pongs that answer them. */
function pinging(count: number): { fixture: Fixture; pongs: FrameSpec[]; roundTrips: number[] } {
  const fixture = new Fixture("from client");
  const roundTrips: number[] = [];
  const pings = new OwnPings({
    onRoundTrip: (ms) => void roundTrips.push(ms),
    nowMs: () => performance.now(),
  });
  fixture.pipe.ownPings = pings;
  const pongs = Array.from({ length: count }, () => ({
    opcode: opcodes.pong,
    payload: pings.nextPayload(),
  }));
  pings.onFlushed();
  return { fixture, pongs, roundTrips };
}

describe("the Pongs of the source", () => {
  const stream = [
    text("a"),
    text("b", { fin: false }),
    { opcode: opcodes.continuation, payload: "c", fin: false },
    { opcode: opcodes.pong, payload: "12345678" },
    { opcode: opcodes.continuation, payload: "d" },
    text("e"),
  ];

  /** The stream with Pongs for us between all of its frames, in chunks of this size. */
  function readInChunks(fixture: Fixture, pongs: readonly FrameSpec[], size: number): void {
    const mixed = fixture.bytes(...stream.flatMap((frame, i) => [pongs[i] ?? frame, frame]));
    for (let at = 0; at < mixed.length; at += size) fixture.pipe.onData(mixed.subarray(at, at + size));
  }

  test("that answer us end here, wherever the chunks are cut; all else passes as it came", () => {
    for (let size = 1; size < 150; size += 1) {
      const { fixture, pongs, roundTrips } = pinging(stream.length);
      readInChunks(fixture, pongs, size);
      expect(fixture.written).toEqual(fixture.bytes(...stream));
      expect(fixture.pipe.writer.messages).toBe(3);
      expect(fixture.pipe.peerBytes).toBe(fixture.written.length);
      expect(roundTrips).toHaveLength(1);
    }
  });

  test("that answer us count in no limit of control frames", () => {
    const { fixture, pongs } = pinging(stream.length);
    fixture.limit({ controlFrames: { rate: 0.001, burst: 1 } });
    readInChunks(fixture, pongs, 1_000);
    expect(fixture.told).toEqual([]);
  });

  test("that answer us do so once, in order, and with all 8 bytes", () => {
    const { fixture, pongs, roundTrips } = pinging(3);
    const [first, second, third] = pongs;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error("three were made");
    fixture.read(second);
    fixture.read(third);
    expect(fixture.written).toHaveLength(0);
    const foreign = [first, third, { ...third, payload: Buffer.alloc(8) }, { ...third, payload: "" }];
    for (const pong of foreign) fixture.read(pong);
    expect(fixture.written).toEqual(fixture.bytes(...foreign));
    expect(roundTrips).toHaveLength(1);
  });

  test("are not timed where reading has paused meanwhile", () => {
    const { fixture, pongs, roundTrips } = pinging(1);
    fixture.pipe.pauseSource();
    fixture.read(...pongs);
    expect(roundTrips).toEqual([]);
  });

  test.for([1, 7, 1_000])(
    "that stand between messages which wait do not come before them, chunks of %i",
    (size) => {
      const { fixture, pongs } = pinging(stream.length);
      fixture.limit({ messages: oneMessageAMinute("delay") });
      const mixed = fixture.bytes(...stream.flatMap((frame, i) => [frame, pongs[i] ?? frame]), close);
      // Node hands over no chunk while the source is paused.
      const chunks = Array.from({ length: Math.ceil(mixed.length / size) }, (_, i) =>
        mixed.subarray(i * size, (i + 1) * size),
      );
      for (const chunk of chunks) {
        while (fixture.pipe.source.isPaused()) vi.advanceTimersByTime(1_000);
        fixture.pipe.onData(chunk);
      }
      vi.advanceTimersByTime(300_000);
      expect(fixture.written).toEqual(fixture.bytes(...stream, close));
      expect(fixture.told.filter((what) => what === "delayed")).toHaveLength(2);
      expect(fixture.told.filter((what) => what === "close received")).toHaveLength(1);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  test("between messages that wait cost none of them a turn, and each waits on one timer", () => {
    const { fixture, pongs } = pinging(4);
    fixture.limit({ messages: oneMessageAMinute("delay") });
    const texts = ["a", "b", "c", "d", "e"].map((payload) => text(payload));
    fixture.read(...texts.flatMap((frame, i) => [frame, pongs[i] ?? ping]));
    for (let minute = 0; minute < texts.length - 1; minute += 1) {
      expect(fixture.written).toEqual(fixture.bytes(...texts.slice(0, minute + 1)));
      expect(vi.getTimerCount()).toBe(1);
      vi.advanceTimersByTime(60_001);
    }
    expect(fixture.written).toEqual(fixture.bytes(...texts, ping));
  });

  test.for([1, 7, 1_000])("do not bring back a dropped message that they stand in, chunks of %i", (size) => {
    const { fixture, pongs } = pinging(stream.length);
    fixture.limit({ messages: oneMessageAMinute("drop") });
    readInChunks(fixture, pongs, size);
    expect(fixture.written).toEqual(fixture.bytes(text("a"), { opcode: opcodes.pong, payload: "12345678" }));
  });

  test("do not hide a Close behind them, when what is held back is thrown away", () => {
    const { fixture, pongs } = pinging(1);
    fixture.limit({ messages: oneMessageAMinute("delay") });
    fixture.read(text("a"), text("b"), ...pongs, text("c"), close);
    fixture.pipe.stop();
    expect(fixture.told).toContain("close received");
    expect(fixture.written).toEqual(fixture.bytes(text("a")));
  });
});

/** Where a message waits, and a flood behind it ends all: nothing more goes through, as its connection would have it. */
function flooded(...behind: FrameSpec[]): Fixture {
  const fixture = new Fixture("from client");
  fixture.limit({ messages: oneMessageAMinute("delay"), controlFrames: { rate: 1, burst: 1 } });
  fixture.onControlFlood = () => fixture.pipe.stop();
  fixture.read(text("a"), text("b"), ping, ping, ...behind);
  expect(fixture.told).toContain("control flood");
  return fixture;
}

describe("a flood of control frames behind a message that waits", () => {
  test("leaves nothing that the client's FIN would wait for", () => {
    const fixture = flooded();
    fixture.pipe.onEnd();
    expect(fixture.told).toContain("source end");
  });

  test("does not hide the client's Close", () => {
    expect(flooded(close).told).toContain("close received");
  });
});

describe("a Close of ours that waits for the end of the message in flight", () => {
  const firstPart = text("1", { fin: false });
  const lastPart = { opcode: opcodes.continuation, payload: "2" };

  /** A pipe in the middle of a fragmented message. */
  function closing(): Fixture {
    const fixture = new Fixture("from backend");
    fixture.read(firstPart);
    closeBehindMessage(fixture);
    expect(fixture.written).toEqual(fixture.bytes(firstPart));
    return fixture;
  }

  test("follows it, and nothing follows the Close", () => {
    const fixture = closing();
    fixture.read(ping, lastPart, text("late"), ping);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, lastPart, close));
    expect(fixture.told).toEqual(["close sent"]);
  });

  test("is the owner's to give, behind the end of it", () => {
    const fixture = new Fixture("from backend");
    fixture.read(firstPart);
    fixture.pipe.finish();
    fixture.read(ping, lastPart, text("late"), ping);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, lastPart));
    expect(fixture.told).toEqual(["finished"]);
    fixture.pipe.close(fixture.bytes(close));
    expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, lastPart, close));
    expect(fixture.told).toEqual(["finished", "close sent"]);
  });

  test("goes out at once between messages", () => {
    const fixture = new Fixture("from backend");
    fixture.read(text("whole"));
    closeBehindMessage(fixture);
    expect(fixture.written).toEqual(fixture.bytes(text("whole"), close));
  });

  test("goes out behind a text of ours that waits, too", () => {
    const fixture = new Fixture("from backend");
    fixture.read(firstPart);
    fixture.pipe.notify(Buffer.from(encodeFrame(text("notice"))));
    closeBehindMessage(fixture);
    fixture.read(lastPart);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, lastPart, text("notice"), close));
  });

  test("goes out in place of the source's Close in the middle of its message", () => {
    const fixture = closing();
    fixture.read(close);
    expect(fixture.written).toEqual(fixture.bytes(firstPart, close));
    expect(fixture.told).toEqual(["close sent", "close received"]);
  });

  test("lets no Pong by that answers us, wherever the chunks are cut", () => {
    for (let size = 1; size < 40; size += 1) {
      const { fixture, pongs } = pinging(2);
      fixture.read(firstPart);
      closeBehindMessage(fixture);
      const rest = fixture.bytes(ping, ...pongs, lastPart, text("late"));
      for (let at = 0; at < rest.length; at += size) fixture.pipe.onData(rest.subarray(at, at + size));
      expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, lastPart, close));
    }
  });

  test("goes out where the message becomes too big, and where its sender breaks the protocol", () => {
    for (const wrong of [{ ...lastPart, payload: "x".repeat(9) }, text("no continuation")]) {
      const fixture = closing();
      fixture.limit({ maxMessageBytes: 9 });
      fixture.read(ping, wrong);
      expect(fixture.written).toEqual(fixture.bytes(firstPart, ping, close));
      expect(fixture.told).toEqual(["close sent"]);
    }
  });

  test("does not wait for a message that is being dropped, nor for one that is held back", () => {
    for (const onExceed of ["drop", "delay"] as const) {
      const fixture = new Fixture("from client");
      fixture.limit({ messages: oneMessageAMinute(onExceed) });
      fixture.read(text("a"), firstPart);
      closeBehindMessage(fixture);
      expect(fixture.written).toEqual(fixture.bytes(text("a"), close));
    }
  });
});

/** A Close of ours, behind the message in flight. */
function closeBehindMessage(fixture: Fixture): void {
  if (fixture.pipe.isInMessage(0)) fixture.pipe.finish();
  fixture.pipe.close(fixture.bytes(close));
}
