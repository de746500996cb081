// The charts: each shows its figures of now above its line, and those under the cursor while it is over any.

import { CHARTS } from "./chart-list.js";
import { element, setText } from "./elements.js";
import { timeOfDay } from "./format.js";
import { History, WINDOW_SECONDS } from "./history.js";

/** @typedef {import("./stream-message.d.ts").Status} Status */
/** @typedef {import("./chart-list.js").ChartSpec} ChartSpec */
/** @typedef {import("./chart-list.js").SeriesSpec} SeriesSpec */

const PLOT_HEIGHT = 120;
const Y_AXIS_WIDTH = 56;
/** The page has just been opened: its few figures are not lost at the edge of ten minutes. */
const LEAST_SECONDS = 60;

export class Charts {
  #history = new History(CHARTS.flatMap(({ series }) => series.map(({ valueOf }) => valueOf)));
  #charts;

  /** @param {HTMLElement} container */
  constructor(container) {
    const cursor = uPlot.sync("weir");
    let first = 0;
    this.#charts = CHARTS.map((spec) => {
      const chart = new Chart(spec, this.#history, first, cursor.key);
      first += spec.series.length;
      return chart;
    });
    container.append(...this.#charts.map(({ node }) => node));
    // Colours are painted, not styled.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const chart of this.#charts) chart.rebuild();
    });
  }

  /** @param {Status} status */
  add(status) {
    this.#history.add(status);
    if (document.hidden) return;
    for (const chart of this.#charts) chart.draw(status);
  }
}

class Chart {
  node = element("figure", "card chart");
  #spec;
  #history;
  /** Of its columns in the history. */
  #first;
  #syncKey;
  #values;
  #note = element("span", "muted");
  #plotNode = element("div", "plot");
  /** @type {uPlot | null} */
  #plot = null;
  /** @type {Status | null} */
  #latest = null;

  /**
   * @param {ChartSpec} spec
   * @param {History} history
   * @param {number} first
   * @param {string} syncKey
   */
  constructor(spec, history, first, syncKey) {
    this.#spec = spec;
    this.#history = history;
    this.#first = first;
    this.#syncKey = syncKey;
    this.node.id = `chart-${spec.id}`;
    const named = spec.series.filter(({ label }) => label !== "");
    this.#values = named.map(({ label }) => {
      const value = element("strong", "", "–");
      value.dataset["figure"] = `${spec.id}.${label}`;
      return value;
    });
    const legend = named.map(({ label, color }, index) => {
      const swatch = element("i", `swatch ${color}`);
      return element("span", "figure", this.#values[index] ?? "", element("small", "muted", swatch, label));
    });
    const caption = element("figcaption", "chart-head", element("h2", "", spec.title), this.#note);
    this.#plotNode.ariaHidden = "true";
    this.node.append(caption, element("div", "figures", ...legend), this.#plotNode);
    new ResizeObserver(() => this.#resize()).observe(this.#plotNode);
  }

  /** @param {Status} status */
  draw(status) {
    this.#latest = status;
    this.#plot?.setData(this.#data(), true);
    this.#showFigures(this.#plot?.cursor.idx ?? null);
  }

  rebuild() {
    this.#plot?.destroy();
    this.#plot = null;
    this.#resize();
  }

  #resize() {
    const width = this.#plotNode.clientWidth;
    if (width === 0) return;
    if (this.#plot === null) this.#plot = new uPlot(this.#options(width), this.#data(), this.#plotNode);
    else this.#plot.setSize({ width, height: PLOT_HEIGHT });
  }

  /** @returns {uPlot.AlignedData} */
  #data() {
    const { times, columns } = this.#history;
    return [times, ...columns.slice(this.#first, this.#first + this.#spec.series.length)];
  }

  /** @param {number | null | undefined} index of the point under the cursor */
  #showFigures(index) {
    const { series, format, note } = this.#spec;
    const latest = this.#latest;
    if (latest === null) return;
    const time = index === null || index === undefined ? undefined : this.#history.times[index];
    for (const [at, node] of this.#values.entries()) {
      const spec = series[at];
      const value = time === undefined ? spec?.valueOf(latest) : this.#data()[at + 1]?.[index ?? 0];
      setText(node, value === null || value === undefined ? "–" : format(value));
    }
    const text = time === undefined ? (note?.(latest) ?? "") : timeOfDay(new Date(time * 1000).toISOString());
    setText(this.#note, text);
  }

  /**
   * @param {number} width
   * @returns {uPlot.Options}
   */
  #options(width) {
    const { series, format, least, steps } = this.#spec;
    return {
      width,
      height: PLOT_HEIGHT,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { size: 6 },
        sync: { key: this.#syncKey, setSeries: false },
      },
      hooks: { setCursor: [(plot) => this.#showFigures(plot.cursor.idx)] },
      scales: {
        x: { time: true, range: (_, __, max) => timeRange(this.#history.times[0], max) },
        y: { range: (_, __, max) => [0, Math.max(least, max * 1.1)] },
      },
      axes: [
        {
          stroke: color("muted"),
          grid: { show: false },
          ticks: { show: false },
          font: "11px system-ui, sans-serif",
          size: 20,
          gap: 4,
          space: 80,
          values: (_, times) =>
            times.map((time) => timeOfDay(new Date(time * 1000).toISOString()).slice(0, 5)),
          incrs: [60, 120, 180, 240, 300],
        },
        {
          stroke: color("muted"),
          grid: { stroke: color("grid"), width: 1 },
          ticks: { show: false },
          font: "11px system-ui, sans-serif",
          size: Y_AXIS_WIDTH,
          gap: 6,
          space: 32,
          values: (_, values) => values.map((value) => format(value)),
          ...(steps === undefined ? {} : { incrs: [...steps] }),
        },
      ],
      series: [{}, ...series.map((spec) => seriesOptions(spec, series.length === 1))],
    };
  }
}

/**
 * @param {SeriesSpec} spec
 * @param {boolean} isAlone
 * @returns {uPlot.Series}
 */
function seriesOptions({ color: name, isDashed }, isAlone) {
  return {
    stroke: color(name),
    width: isDashed === true ? 1 : 1.5,
    points: { show: false },
    ...(isDashed === true ? { dash: [3, 3] } : {}),
    ...(isAlone ? { fill: `${color(name)}22` } : {}),
  };
}

/**
 * @param {number | undefined} first
 * @param {number} last
 * @returns {[number, number]}
 */
function timeRange(first, last) {
  const seconds = Math.min(WINDOW_SECONDS, Math.max(LEAST_SECONDS, last - (first ?? last)));
  return [last - seconds, last];
}

/** As base.css has it for the scheme of now.
 * @param {string} name */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
