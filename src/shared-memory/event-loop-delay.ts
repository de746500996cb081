// How late a thread's event loop comes to what is due: measured by each thread itself, told to the main
// thread by a cell in shared memory, which a thread that hangs does not write any more.

import { monitorEventLoopDelay } from "node:perf_hooks";

/**
 * A look never enters JavaScript, but wakes a thread that may have nothing else to do, which costs some 40 µs
 * on a virtual machine: this many a second are a thousandth of a core.
 */
const RESOLUTION_MS = 50;

/** What a thread tells is the p99 of this time: the second longest of its delays. */
const WINDOW_MS = 5_000;

/** The main thread remembers so many of them: no scrape misses what was between. */
const WINDOWS = 3;

/** Per thread: the p99 in milliseconds, and when it was written. */
const CELLS_PER_THREAD = 2;

const NS_PER_MS = 1e6;

/** Measures the thread that it is made on. */
class DelayMeter {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** Milliseconds, since the last call. */
  takeP99Ms(): number {
    const p99Ms = this.#histogram.percentile(99) / NS_PER_MS;
    this.#histogram.reset();
    // What is recorded is the time from look to look.
    return Math.max(0, p99Ms - RESOLUTION_MS);
  }

  stop(): void {
    this.#histogram.disable();
  }
}

interface Clock {
  nowMs(): number;
}

/** Runs on a worker thread as long as that lives. */
export function reportEventLoopDelay(buffer: SharedArrayBuffer, thread: number, clock: Clock): void {
  const cells = new Float64Array(buffer);
  const meter = new DelayMeter();
  const write = (delayMs: number): void => {
    cells[thread * CELLS_PER_THREAD] = delayMs;
    cells[thread * CELLS_PER_THREAD + 1] = clock.nowMs();
  };
  write(0);
  setInterval(() => write(meter.takeP99Ms()), WINDOW_MS).unref();
}

/** The delays of all threads; main thread only. */
export class EventLoopDelays {
  readonly buffer: SharedArrayBuffer;
  readonly #cells: Float64Array;
  readonly #threads: number;
  readonly #clock: Clock;
  readonly #meter = new DelayMeter();
  readonly #timer: NodeJS.Timeout;
  /** The last windows, newest first: of the main thread, then of each worker. */
  #windows: (readonly number[])[] = [];

  constructor(threads: number, clock: Clock) {
    this.buffer = new SharedArrayBuffer(threads * CELLS_PER_THREAD * Float64Array.BYTES_PER_ELEMENT);
    this.#cells = new Float64Array(this.buffer);
    this.#threads = threads;
    this.#clock = clock;
    this.#timer = setInterval(() => this.#look(this.#meter.takeP99Ms()), WINDOW_MS);
    this.#timer.unref();
  }

  /** Milliseconds: the p99 of each thread's last five seconds. */
  get latest(): { main: number; workers: number[] } {
    return { main: this.#windows[0]?.[0] ?? 0, workers: this.#workersMs() };
  }

  /** Milliseconds: the worst p99 of the last windows. */
  get worst(): { main: number; workers: number[] } {
    const worstOf = (index: number, latestMs: number): number =>
      Math.max(latestMs, ...this.#windows.map((window) => window[index] ?? 0));
    return {
      main: worstOf(0, 0),
      workers: this.#workersMs().map((latestMs, thread) => worstOf(thread + 1, latestMs)),
    };
  }

  /** Begins anew: what came before is nobody's delay, as the start of the process is not. */
  reset(): void {
    this.#meter.takeP99Ms();
    this.#windows = [];
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#meter.stop();
  }

  #look(mainMs: number): void {
    this.#windows = [[mainMs, ...this.#workersMs()], ...this.#windows].slice(0, WINDOWS);
  }

  #workersMs(): number[] {
    const nowMs = this.#clock.nowMs();
    return Array.from({ length: this.#threads }, (_, thread) => {
      const delayMs = this.#cells[thread * CELLS_PER_THREAD] ?? 0;
      const writtenAtMs = this.#cells[thread * CELLS_PER_THREAD + 1] ?? 0;
      // One that hangs does not come to write; one that has not started has never written.
      return writtenAtMs === 0 ? 0 : Math.max(delayMs, nowMs - writtenAtMs - WINDOW_MS);
    });
  }
}
