// The figures of the last ten minutes, as columns for the charts.

/** @typedef {import("./stream-message.d.ts").Status} Status */

export const WINDOW_SECONDS = 600;

/** Without a figure for so long, the line is broken. */
const GAP_SECONDS = 5;

export class History {
  /** Unix seconds. @type {number[]} */
  times = [];
  /** One for each figure, as long as `times`. @type {(number | null)[][]} */
  columns;
  #figures;

  /** @param {readonly ((status: Status) => number | null)[]} figures */
  constructor(figures) {
    this.#figures = figures;
    this.columns = figures.map(() => []);
  }

  /** @param {Status} status */
  add(status) {
    const time = Date.parse(status.time) / 1000;
    const last = this.times.at(-1);
    // A clock that was set back would make the line go back, too.
    if (last !== undefined && time <= last) return;
    if (last !== undefined && time - last > GAP_SECONDS) this.#push(last + 1, () => null);
    this.#push(time, (index) => this.#figures[index]?.(status) ?? null);
    while ((this.times[0] ?? time) < time - WINDOW_SECONDS) {
      this.times.shift();
      for (const column of this.columns) column.shift();
    }
  }

  /**
   * @param {number} time
   * @param {(index: number) => number | null} valueOf
   */
  #push(time, valueOf) {
    this.times.push(time);
    for (const [index, column] of this.columns.entries()) column.push(valueOf(index));
  }
}
