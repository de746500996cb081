// What the sweep makes of connections that are none: silence, life, and what is nobody's silence.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { WatchedConnection } from "../../../src/data-plane/connection-watch.ts";
import { Keepalive } from "../../../src/data-plane/keepalive.ts";
import type { OwnPings } from "../../../src/data-plane/own-pings.ts";
import { decodeFrame, type Frame, opcodes } from "../../support/frames.ts";

const off = { idle: null, ping: null, slowConsumer: null, maxConnectionAge: null };
const ping = { interval: 30_000, timeout: 30_000 };
const PERIOD_MS = 1_000;
const PONG_BYTES = 10;

class FakePipe {
  bytesRead = 0;
  peerBytes = 0;
  ownPings: OwnPings | null = null;
  isPaused = false;
  readonly writer = { bytes: 0, socket: { writableLength: 0 } };
  readonly pings: Frame[] = [];
  /** Whether pings leave at once. */
  flushes = true;

  ping(frame: Buffer, onFlushed: () => void): void {
    const decoded = decodeFrame(frame);
    if (decoded !== undefined) this.pings.push(decoded.frame);
    if (this.flushes) onFlushed();
  }

  /** The peer sends a frame. */
  read(bytes = 6): void {
    this.bytesRead += bytes;
    this.peerBytes += bytes;
  }

  /** The peer answers the last ping, which is read from the other pipe. */
  answer(to: FakePipe): void {
    this.bytesRead += PONG_BYTES;
    const payload = to.pings.at(-1)?.payload ?? Buffer.alloc(8);
    if (this.ownPings?.takePong(payload) !== true) throw new Error("the pong was not taken for an answer");
  }
}

class FakeConnection {
  readonly grant: WatchedConnection["grant"];
  readonly toBackend = new FakePipe();
  readonly toClient = new FakePipe();
  readonly ends: string[] = [];
  tokenExpiresAtMs: number | null = null;

  constructor(activityCell: number | null) {
    this.grant = { activityCell, pool: "chat", backend: "a" };
  }

  get isEnding(): boolean {
    return this.ends.length > 0;
  }

  close(reason: string): void {
    this.ends.push(reason);
  }

  abandon(side: "client" | "backend", reason: string): void {
    this.ends.push(`${side}: ${reason}`);
  }

  /** Its pipes are as much of a pipe as the sweep looks at. */
  get watched(): WatchedConnection {
    return this;
  }
}

let cells: Float64Array;
let keepalive: Keepalive;
/** Of the thread, by which its clock is ahead of its timers. */
let heldUpMs: number;
let buffered: { client: number; backend: number };
let roundTrips: [string, string, number][];

beforeEach(() => {
  vi.useFakeTimers();
  cells = new Float64Array(3);
  roundTrips = [];
  buffered = { client: 0, backend: 0 };
  heldUpMs = 0;
  const startMs = performance.now();
  keepalive = new Keepalive({
    activity: cells,
    clock: { nowMs: () => performance.now() - startMs + heldUpMs },
    buffered: { set: (client, backend) => (buffered = { client, backend }) },
    dateMs: () => Date.now(),
    onRoundTrip: ({ backend }, side, ms) => void roundTrips.push([backend, side, ms]),
  });
});

afterEach(() => {
  vi.useRealTimers();
});

function started(activityCell: number | null = null): FakeConnection {
  const connection = new FakeConnection(activityCell);
  keepalive.start(connection.watched);
  return connection;
}

function startedUntil(tokenExpiresAtMs: number | null): FakeConnection {
  const connection = started();
  connection.tokenExpiresAtMs = tokenExpiresAtMs;
  return connection;
}

/** Both peers send a frame a second, for so long. */
function chat(connection: FakeConnection, ms: number): void {
  for (let passed = 0; passed < ms; passed += PERIOD_MS) {
    connection.toBackend.read();
    connection.toClient.read();
    vi.advanceTimersByTime(PERIOD_MS);
  }
}

describe("pings", () => {
  beforeEach(() => keepalive.configure({ ...off, ping }));

  test("go to silent peers within the interval, masked towards the backend only, and never alike", () => {
    const connections = Array.from({ length: 20 }, () => started());
    vi.advanceTimersByTime(ping.interval);
    const sent = connections.flatMap(({ toClient, toBackend }) => [...toClient.pings, ...toBackend.pings]);
    expect(sent).toHaveLength(40);
    for (const frame of sent) expect(frame).toMatchObject({ opcode: opcodes.ping, fin: true, rsv: 0 });
    expect(new Set(sent.map(({ payload }) => payload.toString("hex"))).size).toBe(40);
    for (const { toClient, toBackend } of connections) {
      expect([toClient.pings[0]?.masked, toBackend.pings[0]?.masked]).toEqual([false, true]);
      expect(toClient.pings[0]?.payload).toHaveLength(8);
    }
  });

  test("of many connections do not go at once", () => {
    const connections = Array.from({ length: 100 }, () => started());
    const counts = Array.from({ length: 120 }, () => {
      vi.advanceTimersByTime(PERIOD_MS / 4);
      return connections.reduce((sum, { toClient }) => sum + toClient.pings.length, 0);
    });
    const most = Math.max(...counts.map((count, i) => count - (counts[i - 1] ?? 0)));
    expect(most).toBeLessThan(30);
  });

  test("go to peers that talk, too, once an interval, and nothing is asked of these", () => {
    const connection = started();
    chat(connection, 299_000);
    for (const { pings } of [connection.toClient, connection.toBackend]) {
      expect(pings.length).toBeGreaterThanOrEqual(9);
      expect(pings.length).toBeLessThanOrEqual(11);
    }
    expect(connection.ends).toEqual([]);
  });

  test("take no more looks than are needed: a silent connection is passed over until one is due", () => {
    const connection = started();
    let looks = 0;
    Object.defineProperty(connection, "isEnding", { get: () => (looks += 1) < 0 });
    vi.advanceTimersByTime(20_000);
    const beforePing = looks;
    expect(beforePing).toBeLessThanOrEqual(4);
    connection.toBackend.read();
    vi.advanceTimersByTime(2_000);
    expect(looks).toBeGreaterThan(beforePing);
  });

  test("to the two sides of a silent connection leave in one look, round after round", () => {
    const connections = Array.from({ length: 20 }, () => started());
    for (let passed = 0; passed < 3 * ping.interval; passed += PERIOD_MS / 4) {
      vi.advanceTimersByTime(PERIOD_MS / 4);
      for (const { toClient, toBackend } of connections) {
        expect(toBackend.pings).toHaveLength(toClient.pings.length);
        const isPinged = toClient.bytesRead < toBackend.pings.length * PONG_BYTES;
        if (!isPinged) continue;
        toBackend.answer(toClient);
        toClient.answer(toBackend);
      }
    }
    for (const { toClient } of connections) expect(toClient.pings.length).toBeGreaterThanOrEqual(3);
  });

  test("wait while the peer is behind", () => {
    const connection = started();
    Object.assign(connection.toClient.writer, { bytes: 1, socket: { writableLength: 1 } });
    vi.advanceTimersByTime(ping.interval);
    expect(connection.toClient.pings).toEqual([]);
    expect(connection.toBackend.pings).toHaveLength(1);
  });

  test.for([
    ["client", "toBackend", "toClient"],
    ["backend", "toClient", "toBackend"],
  ] as const)("that the %s answers are timed, and the connection stays", ([side, reads, writes]) => {
    const connection = started();
    const [peer, other] = [connection[reads], connection[writes]];
    for (let round = 1; round <= 4; round += 1) {
      while (other.pings.length < round) {
        other.read();
        vi.advanceTimersByTime(1);
      }
      vi.advanceTimersByTime(20);
      peer.answer(other);
    }
    expect(connection.ends).toEqual([]);
    expect(roundTrips).toEqual(Array.from({ length: 4 }, () => ["a", side, expect.closeTo(20, 3)]));
  });

  test("of a reload that turns them off and on again begin anew", () => {
    const connection = started();
    vi.advanceTimersByTime(50_000);
    keepalive.configure(off);
    vi.advanceTimersByTime(600_000);
    keepalive.configure({ ...off, ping });
    vi.advanceTimersByTime(20_000);
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(15_000);
    expect(connection.ends).toEqual(["client: client_dead"]);
  });
});

describe("a peer that shows no life", () => {
  beforeEach(() => keepalive.configure({ ...off, ping }));

  test.for([
    ["client", "client: client_dead"],
    ["backend", "backend: backend_lost"],
  ] as const)("the %s, is found within interval and timeout, and not before the timeout", ([side, end]) => {
    const connection = started();
    const [dead, alive] =
      side === "client"
        ? [connection.toBackend, connection.toClient]
        : [connection.toClient, connection.toBackend];
    for (let passed = 0; passed < 45_000; passed += 500) {
      alive.read();
      vi.advanceTimersByTime(500);
    }
    expect(dead.bytesRead).toBe(0);
    expect(connection.ends).toEqual([]);
    for (let passed = 0; passed < 15_000; passed += 500) {
      alive.read();
      vi.advanceTimersByTime(500);
    }
    expect(connection.ends).toEqual([end]);
  });

  test("is alive by any byte, a part of a frame included", () => {
    const connection = started();
    for (let minute = 0; minute < 10; minute += 1) {
      connection.toBackend.read(1);
      connection.toClient.read(1);
      vi.advanceTimersByTime(50_000);
    }
    expect(connection.ends).toEqual([]);
  });

  test("is given no time as long as the ping has not left", () => {
    const connection = started();
    connection.toClient.flushes = false;
    connection.toClient.read();
    const keepBackend = setInterval(() => connection.toClient.read(), 1_000);
    vi.advanceTimersByTime(600_000);
    clearInterval(keepBackend);
    expect(connection.ends).toEqual([]);
  });

  test("is not called dead while Weir does not read it, and is pinged on, as a RST shows by a write only", () => {
    const connection = started();
    connection.toBackend.isPaused = true;
    const keepBackend = setInterval(() => connection.toClient.read(), 1_000);
    vi.advanceTimersByTime(300_000);
    expect(connection.ends).toEqual([]);
    expect(connection.toClient.pings.length).toBeGreaterThan(9);
    connection.toBackend.isPaused = false;
    vi.advanceTimersByTime(29_000);
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(3_000);
    clearInterval(keepBackend);
    expect(connection.ends).toEqual(["client: client_dead"]);
  });

  test("is not called dead while data waits for it", () => {
    const connection = started();
    vi.advanceTimersByTime(ping.interval);
    Object.assign(connection.toClient.writer, { bytes: 1, socket: { writableLength: 1 } });
    const keepBackend = setInterval(() => connection.toClient.read(), 1_000);
    vi.advanceTimersByTime(300_000);
    clearInterval(keepBackend);
    expect(connection.ends).toEqual([]);
  });

  test("because the thread itself was held up is not dead", () => {
    const connection = started();
    vi.advanceTimersByTime(ping.interval);
    expect(connection.toClient.pings).toHaveLength(1);
    // The clock goes on, and no timer fires.
    heldUpMs = 600_000;
    vi.advanceTimersByTime(2 * PERIOD_MS);
    expect(connection.ends).toEqual([]);
  });
});

describe("a slow consumer", () => {
  beforeEach(() => keepalive.configure({ ...off, slowConsumer: 30_000 }));

  test.for([
    ["client", "toClient", "client: slow_consumer"],
    ["backend", "toBackend", "backend: backend_lost"],
  ] as const)("the %s, is cut when it takes nothing for that long", ([, pipe, end]) => {
    const connection = started();
    vi.advanceTimersByTime(60_000);
    const { writer } = connection[pipe];
    // What it does not take came from the other side.
    connection[pipe].read();
    writer.bytes = 100;
    writer.socket.writableLength = 100;
    vi.advanceTimersByTime(30_000);
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(2_000);
    expect(connection.ends).toEqual([end]);
  });

  test("that takes a little now and then stays, and so does one that has taken all", () => {
    const connection = started();
    const { writer } = connection.toClient;
    writer.bytes = 1_000;
    for (let left = 20; left >= 0; left -= 1) {
      writer.socket.writableLength = left;
      vi.advanceTimersByTime(29_000);
    }
    vi.advanceTimersByTime(60_000);
    expect(connection.ends).toEqual([]);
  });

  test("takes a part of a large write: the rest of it in the kernel's hands tells", () => {
    const connection = started();
    const { writer } = connection.toClient;
    writer.bytes = 65_536;
    const handle = { writeQueueSize: 65_536 };
    Object.assign(writer.socket, { writableLength: 65_536, _handle: handle });
    for (let round = 0; round < 10; round += 1) {
      handle.writeQueueSize -= 1_000;
      vi.advanceTimersByTime(29_000);
    }
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(32_000);
    expect(connection.ends).toEqual(["client: slow_consumer"]);
  });

  test("makes no progress by what else is written to it", () => {
    const connection = started();
    const { writer } = connection.toClient;
    Object.assign(writer, { bytes: 100, socket: { writableLength: 100 } });
    for (let seconds = 0; seconds < 33; seconds += 1) {
      writer.bytes += 10;
      writer.socket.writableLength += 12;
      vi.advanceTimersByTime(1_000);
    }
    expect(connection.ends).toEqual(["client: slow_consumer"]);
  });
});

describe("idle", () => {
  test("is a connection without frames of either peer; pongs for Weir are none", () => {
    keepalive.configure({ ...off, ping, idle: 100_000 });
    const connection = started();
    chat(connection, 10_000);
    const answering = setInterval(() => {
      connection.toBackend.bytesRead += 14;
      connection.toClient.bytesRead += 10;
    }, 5_000);
    vi.advanceTimersByTime(98_000);
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(5_000);
    clearInterval(answering);
    expect(connection.ends).toEqual(["idle"]);
  });

  test.for(["toBackend", "toClient"] as const)("is not one whose frames come %s only", (pipe) => {
    keepalive.configure({ ...off, idle: 10_000 });
    const connection = started();
    const talking = setInterval(() => connection[pipe].read(), 8_000);
    vi.advanceTimersByTime(100_000);
    clearInterval(talking);
    expect(connection.ends).toEqual([]);
  });

  test("is not one that Weir does not read", () => {
    keepalive.configure({ ...off, idle: 10_000 });
    const connection = started();
    connection.toBackend.isPaused = true;
    vi.advanceTimersByTime(100_000);
    expect(connection.ends).toEqual([]);
  });
});

describe("the age", () => {
  test("ends connections between `max` less the jitter and `max`, not all at once", () => {
    keepalive.configure({ ...off, maxConnectionAge: { max: 1_000_000, jitter: 0.1 } });
    const connections = Array.from({ length: 50 }, () => started());
    const ended = () => connections.filter(({ ends }) => ends[0] === "age").length;
    vi.advanceTimersByTime(899_000);
    expect(ended()).toBe(0);
    vi.advanceTimersByTime(50_000);
    expect(ended()).toBeGreaterThan(0);
    expect(ended()).toBeLessThan(50);
    vi.advanceTimersByTime(53_000);
    expect(ended()).toBe(50);
  });

  test("that a reload brings counts from the connection's start", () => {
    const connection = started();
    vi.advanceTimersByTime(50_000);
    keepalive.configure({ ...off, maxConnectionAge: { max: 40_000, jitter: 0 } });
    vi.advanceTimersByTime(2_000);
    expect(connection.ends).toEqual(["age"]);
  });
});

describe("a token's end", () => {
  const DAY_MS = 24 * 3_600_000;

  test("ends the connection within a period, and the leeway later", () => {
    keepalive.configure(off, 5_000);
    const connection = startedUntil(Date.now() + 10_000);
    vi.advanceTimersByTime(14_990);
    expect(connection.ends).toEqual([]);
    vi.advanceTimersByTime(PERIOD_MS);
    expect(connection.ends).toEqual(["token_expired"]);
    vi.advanceTimersByTime(10 * PERIOD_MS);
    expect(connection.ends).toEqual(["token_expired"]);
  });

  // The four turns share the second, so that each connection is looked at once in it, wherever its token ends.
  test("is never foreseen, and never more than a second ago when the connection ends", () => {
    keepalive.configure({ ...off, ping }, 0);
    const startMs = Date.now();
    const connections = Array.from({ length: 200 }, (_, i) => startedUntil(startMs + 5_000 + 37 * i));
    const endedAtMs = new Map<FakeConnection, number>();
    while (endedAtMs.size < connections.length && Date.now() < startMs + 60_000) {
      vi.advanceTimersByTime(5);
      for (const [i, connection] of connections.entries()) {
        // Talking ones are looked at in full each time, silent ones are passed over as long as may be.
        if (i % 2 === 0) connection.toBackend.read();
        if (connection.isEnding && !endedAtMs.has(connection)) endedAtMs.set(connection, Date.now());
      }
    }
    expect(connections.map(({ ends }) => ends)).toEqual(connections.map(() => ["token_expired"]));
    for (const connection of connections) {
      const lateMs = (endedAtMs.get(connection) ?? 0) - (connection.tokenExpiresAtMs ?? 0);
      expect(lateMs).toBeGreaterThanOrEqual(0);
      expect(lateMs).toBeLessThanOrEqual(PERIOD_MS);
    }
  });

  test("may be further away than a timer can count", () => {
    keepalive.configure(off, 0);
    const connection = startedUntil(Date.now() + 60 * DAY_MS);
    const forever = startedUntil(Number.MAX_SAFE_INTEGER);
    vi.setSystemTime(Date.now() + 59 * DAY_MS);
    vi.advanceTimersByTime(2 * PERIOD_MS);
    expect(connection.ends).toEqual([]);
    vi.setSystemTime(Date.now() + DAY_MS);
    vi.advanceTimersByTime(2 * PERIOD_MS);
    expect(connection.ends).toEqual(["token_expired"]);
    expect(forever.ends).toEqual([]);
  });

  test("that came while the connection was made ends it at once", () => {
    keepalive.configure(off, 0);
    const connection = startedUntil(Date.now() - 1);
    vi.advanceTimersByTime(PERIOD_MS);
    expect(connection.ends).toEqual(["token_expired"]);
  });

  test("ends nothing where closeOnExpiry is off or there is no end, until a reload turns it on", () => {
    keepalive.configure(off, null);
    const connection = startedUntil(Date.now() + 1_000);
    const endless = startedUntil(null);
    vi.advanceTimersByTime(10_000);
    expect(connection.ends).toEqual([]);
    keepalive.configure(off, 0);
    vi.advanceTimersByTime(PERIOD_MS);
    expect(connection.ends).toEqual(["token_expired"]);
    expect(endless.ends).toEqual([]);
  });
});

test("a connection that ends is left to its own deadlines", () => {
  keepalive.configure({
    idle: 1_000,
    ping,
    slowConsumer: 1_000,
    maxConnectionAge: { max: 1_000, jitter: 0 },
  });
  const connection = started();
  connection.close("by hand");
  vi.advanceTimersByTime(600_000);
  expect(connection.ends).toEqual(["by hand"]);
  expect(connection.toClient.pings).toEqual([]);
});

/** When each client was heard of last, once so much time has passed. */
function heardAfter(ms: number): number[] {
  vi.advanceTimersByTime(ms);
  return [...cells];
}

describe("a client", () => {
  test("of which anything was read since the last look is heard of now, the others when they were", () => {
    const [first, second] = [started(0), started(1)];
    first.toBackend.read();
    const [firstAt = 0, ...others] = heardAfter(2_000);
    expect(firstAt).toBeGreaterThan(0);
    expect(others).toEqual([0, 0]);
    second.toBackend.read();
    const [again, secondAt = 0] = heardAfter(2_000);
    expect(again).toBe(firstAt);
    expect(secondAt).toBeGreaterThan(firstAt);
  });

  test("that Weir does not read is not called silent", () => {
    const held = started(0);
    held.toBackend.isPaused = true;
    const [first = 0] = heardAfter(2_000);
    const [second = 0] = heardAfter(2_000);
    expect(second).toBeGreaterThan(first);
    held.toBackend.isPaused = false;
    expect(heardAfter(2_000)[0]).toBe(second);
  });

  test("without a cell is passed over, and one that is gone leaves its cell to the next one", () => {
    const gone = started(0);
    started(null).toBackend.read();
    keepalive.stop(gone.watched);
    gone.toBackend.read();
    expect(heardAfter(2_000)).toEqual([0, 0, 0]);
  });
});

describe("bytes that wait", () => {
  test("are told by side, summed over the connections, and no longer than they wait", () => {
    const [first, second] = [started(), started()];
    first.toClient.writer.bytes = second.toClient.writer.bytes = 10;
    first.toClient.writer.socket.writableLength = 3;
    second.toClient.writer.socket.writableLength = 4;
    second.toBackend.writer.bytes = 10;
    second.toBackend.writer.socket.writableLength = 5;
    vi.advanceTimersByTime(PERIOD_MS);
    expect(buffered).toEqual({ client: 7, backend: 5 });
    first.toClient.writer.socket.writableLength = 0;
    keepalive.stop(second.watched);
    vi.advanceTimersByTime(PERIOD_MS);
    expect(buffered).toEqual({ client: 0, backend: 0 });
  });

  test("are told of a connection that is ending, and none once the last one is gone", () => {
    const ending = started();
    ending.close("draining");
    ending.toClient.writer.bytes = ending.toClient.writer.socket.writableLength = 9;
    vi.advanceTimersByTime(PERIOD_MS);
    expect(buffered).toEqual({ client: 9, backend: 0 });
    keepalive.stop(ending.watched);
    expect(buffered).toEqual({ client: 0, backend: 0 });
  });
});

test("no timer runs without connections, and one alone with them", () => {
  const connections = [started(0), started(1)];
  expect(vi.getTimerCount()).toBe(1);
  keepalive.configure({ ...off, ping: { interval: 100, timeout: 100 } });
  expect(vi.getTimerCount()).toBe(1);
  for (const connection of connections) keepalive.stop(connection.watched);
  expect(vi.getTimerCount()).toBe(0);
  keepalive.configure({ ...off, ping });
  expect(vi.getTimerCount()).toBe(0);
  started(2).toBackend.read();
  vi.advanceTimersByTime(2_000);
  expect(cells[2]).toBeGreaterThan(0);
});
