// When warm sockets are opened, handed out and given up, on a clock and with sockets of the test's own.
import { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ConnectEvents } from "../../../src/data-plane/connecting.ts";
import { DialFailure } from "../../../src/data-plane/dial-failure.ts";
import { WarmSockets } from "../../../src/data-plane/warm-sockets.ts";

/** A socket that is never connected; it ends as one does whose peer closes it. */
class Opened {
  readonly socket = new Socket();

  constructor() {
    this.socket.on("error", () => {});
  }

  async closeByPeer(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.socket.once("close", () => resolve());
    this.socket.destroy();
    await promise;
  }
}

/** The backend: what is asked of it, and its answers when the test gives them. */
class Dialled {
  readonly opened: Opened[] = [];
  aborted = 0;
  readonly #pending: ConnectEvents[] = [];

  readonly open = (events: ConnectEvents) => {
    this.#pending.push(events);
    return { abort: () => void (this.aborted += 1) };
  };

  get pending(): number {
    return this.#pending.length;
  }

  accept(address = "10.0.0.1"): Opened {
    const opened = new Opened();
    this.opened.push(opened);
    this.#pending.shift()?.connected(opened.socket, address);
    return opened;
  }

  acceptAll(): void {
    while (this.pending > 0) this.accept();
  }

  refuse(): void {
    this.#pending.shift()?.failed(new DialFailure("connect", "refused"));
  }
}

let backend: Dialled;
let warm: WarmSockets;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  backend = new Dialled();
  warm = new WarmSockets(backend.open);
});

afterEach(() => {
  warm.keep(0);
  vi.useRealTimers();
});

/** Keeps so many and lets the backend accept them. */
function fill(wanted: number): void {
  warm.keep(wanted);
  vi.advanceTimersByTime(1);
  backend.acceptAll();
}

describe("sockets ahead of need", () => {
  test("are as many as were asked for", () => {
    fill(10);
    expect([warm.size, backend.opened.length]).toEqual([10, 10]);
  });

  test("are opened a few at a time", () => {
    warm.keep(1_000);
    vi.advanceTimersByTime(1);
    expect(backend.pending).toBe(4);
    backend.accept();
    expect(backend.pending).toBe(4);
  });

  test("are first opened after the delay that they are given", () => {
    warm.keep(1, 500);
    vi.advanceTimersByTime(499);
    expect(backend.pending).toBe(0);
    vi.advanceTimersByTime(1);
    expect(backend.pending).toBe(1);
  });

  test("are replaced after use", () => {
    fill(2);
    expect(warm.take(null)).toBe(backend.opened[1]?.socket);
    vi.advanceTimersByTime(1);
    backend.acceptAll();
    expect([warm.size, backend.opened.length]).toEqual([2, 3]);
  });

  test("are handed out youngest first, and then there are none", () => {
    fill(2);
    const [first, second] = backend.opened;
    expect([warm.take(null), warm.take(null), warm.take(null)]).toEqual([
      second?.socket,
      first?.socket,
      null,
    ]);
  });

  test("become fewer and more as a reload says", () => {
    fill(5);
    warm.keep(2);
    expect([warm.size, backend.opened.filter(({ socket }) => socket.destroyed).length]).toEqual([2, 3]);
    fill(4);
    expect(warm.size).toBe(4);
  });

  test("are none any more at 0: open ones are closed, those on their way given up", () => {
    fill(2);
    warm.take(null);
    vi.advanceTimersByTime(1);
    warm.keep(0);
    expect([warm.size, backend.aborted, backend.opened[0]?.socket.destroyed]).toEqual([0, 1, true]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that come when no more are wanted are closed", () => {
    warm.keep(2);
    vi.advanceTimersByTime(1);
    warm.keep(1);
    backend.acceptAll();
    expect([warm.size, backend.opened.map(({ socket }) => socket.destroyed)]).toEqual([1, [false, true]]);
  });
});

describe("a socket", () => {
  test("that the backend closed is not handed out", async () => {
    fill(2);
    await backend.opened[1]?.closeByPeer();
    expect(warm.take(null)).toBe(backend.opened[0]?.socket);
    expect(warm.take(null)).toBeNull();
  });

  test("that is destroyed and has not told so yet is not handed out", () => {
    fill(1);
    backend.opened[0]?.socket.destroy();
    expect(warm.take(null)).toBeNull();
  });

  test("on which something comes unasked is closed", () => {
    fill(1);
    backend.opened[0]?.socket.emit("data", Buffer.from("HTTP/1.1 408 Request Timeout\r\n\r\n"));
    expect([warm.size, backend.opened[0]?.socket.destroyed]).toEqual([0, true]);
  });

  test("that the backend ends is closed", () => {
    fill(1);
    backend.opened[0]?.socket.emit("end");
    expect([warm.size, backend.opened[0]?.socket.destroyed]).toEqual([0, true]);
  });

  test("to an address that the name has no more is closed instead of handed out", () => {
    warm.keep(2);
    vi.advanceTimersByTime(1);
    const kept = backend.accept("10.0.0.1");
    const old = backend.accept("10.0.0.2");
    expect(warm.take(["10.0.0.1", "10.0.0.3"])).toBe(kept.socket);
    expect(old.socket.destroyed).toBe(true);
  });

  test("that is handed out is listened to no more, but for its errors", () => {
    fill(1);
    const socket = warm.take(null);
    const listeners = ["data", "end", "close", "error"].map((event) => socket?.listenerCount(event));
    // The stream's own listener of `end`.
    expect(listeners).toEqual([0, new Socket().listenerCount("end"), 0, 1]);
  });
});

/** How many sockets are opened in this time, and closed at once. */
async function openedWithin(ms: number): Promise<number> {
  const before = backend.opened.length;
  for (let elapsed = 0; elapsed < ms; elapsed += 10) {
    vi.advanceTimersByTime(10);
    while (backend.pending > 0) await backend.accept().closeByPeer();
  }
  return backend.opened.length - before;
}

describe("a backend that closes silent sockets at once", () => {
  test("is sent ever fewer", async () => {
    warm.keep(3);
    const inFirstMinute = await openedWithin(60_000);
    const inNextMinute = await openedWithin(60_000);
    expect(inFirstMinute).toBeLessThanOrEqual(15 * 4);
    expect(inNextMinute).toBeLessThanOrEqual(4 * 4);
    expect(inNextMinute).toBeGreaterThan(0);
  });

  test("is not hammered either by upgrades that find no warm socket", async () => {
    warm.keep(3);
    await openedWithin(60_000);
    const before = backend.opened.length;
    for (let i = 0; i < 100; i++) {
      expect(warm.take(null)).toBeNull();
      await openedWithin(10);
    }
    expect(backend.opened.length - before).toBeLessThanOrEqual(4);
  });

  test("is trusted again once its sockets live", async () => {
    warm.keep(1);
    await openedWithin(60_000);
    vi.advanceTimersByTime(30_000);
    const steady = backend.accept();
    vi.advanceTimersByTime(10_000);
    await steady.closeByPeer();
    vi.advanceTimersByTime(100);
    expect(backend.pending).toBe(1);
  });
});

test("a backend that refuses is asked again, more slowly each time", () => {
  warm.keep(1);
  const delaysMs: number[] = [];
  for (let i = 0; i < 12; i++) {
    const startedAtMs = performance.now();
    vi.advanceTimersToNextTimer();
    delaysMs.push(performance.now() - startedAtMs);
    backend.refuse();
  }
  const [, second = 0, third = 0, fourth = 0] = delaysMs;
  expect(second).toBeLessThanOrEqual(100);
  expect(third).toBeGreaterThanOrEqual(100);
  expect(fourth).toBeGreaterThanOrEqual(200);
  for (const delayMs of delaysMs) expect(delayMs).toBeLessThanOrEqual(30_000);
  expect(delaysMs.at(-1)).toBeGreaterThanOrEqual(15_000);
});
