// Which charts there are: what each shows of a status, and how its figures are written.

import { bytes, integer, milliseconds, percent, rate } from "./format.js";

/** @typedef {import("./stream-message.d.ts").Status} Status */

/**
 * @typedef {object} SeriesSpec
 * @property {string} label
 * @property {string} color name of the colour in base.css
 * @property {boolean} [isDashed]
 * @property {(status: Status) => number | null} valueOf
 */

/**
 * @typedef {object} ChartSpec
 * @property {string} id
 * @property {string} title
 * @property {(value: number) => string} format
 * @property {number} least the scale goes up to this at least
 * @property {readonly number[]} [steps] between its lines, where those of ten are not the round ones
 * @property {readonly SeriesSpec[]} series
 * @property {(status: Status) => string} [note]
 */

/** 1 B, 2 B … 512 GiB */
const BYTE_STEPS = Array.from({ length: 40 }, (_, power) => 2 ** power);

/** @type {readonly ChartSpec[]} */
export const CHARTS = [
  {
    id: "connections",
    title: "Connections",
    format: integer,
    least: 4,
    series: [{ label: "open", color: "first", valueOf: ({ connections }) => connections.open }],
    note: ({ connections }) => `of ${integer(connections.limit)}`,
  },
  {
    id: "messages",
    title: "Messages per second",
    format: rate,
    least: 4,
    series: perDirection(({ perSecond }) => perSecond.messages),
  },
  {
    id: "bytes",
    title: "Bytes per second",
    format: bytes,
    least: 1024,
    steps: BYTE_STEPS,
    series: perDirection(({ perSecond }) => perSecond.bytes),
  },
  {
    id: "limited",
    title: "Limited messages per second",
    format: rate,
    least: 4,
    series: [
      { label: "delayed", color: "first", valueOf: ({ perSecond }) => perSecond.limited.delay },
      { label: "dropped", color: "warn", valueOf: ({ perSecond }) => perSecond.limited.drop },
      { label: "closed", color: "bad", valueOf: ({ perSecond }) => perSecond.limited.close },
      { label: "logged", color: "muted", valueOf: ({ perSecond }) => perSecond.limited.log },
    ],
  },
  {
    id: "round-trip",
    title: "Round trip, p99 (p50 dashed)",
    format: milliseconds,
    least: 5,
    series: [
      { label: "clients", color: "first", valueOf: ({ roundTripMs }) => roundTripMs.client.p99 },
      { label: "backends", color: "second", valueOf: ({ roundTripMs }) => roundTripMs.backend.p99 },
      { label: "", color: "first", isDashed: true, valueOf: ({ roundTripMs }) => roundTripMs.client.p50 },
      { label: "", color: "second", isDashed: true, valueOf: ({ roundTripMs }) => roundTripMs.backend.p50 },
    ],
  },
  {
    id: "errors",
    title: "Error rate of upgrades",
    format: percent,
    least: 0.05,
    series: [{ label: "failed", color: "bad", valueOf: ({ errorRate }) => errorRate }],
  },
  {
    id: "event-loop",
    title: "Event-loop delay, p99",
    format: milliseconds,
    least: 20,
    series: [
      { label: "main", color: "first", valueOf: ({ eventLoopDelayMs }) => eventLoopDelayMs.main },
      { label: "slowest worker", color: "second", valueOf: slowestWorker },
    ],
  },
  {
    id: "memory",
    title: "Memory",
    format: bytes,
    least: 64 * 1024 * 1024,
    steps: BYTE_STEPS,
    series: [{ label: "in use", color: "first", valueOf: ({ memory }) => memory.rssBytes }],
    note: ({ memory }) => `of ${bytes(memory.limitBytes)}`,
  },
];

/**
 * @param {(status: Status) => Status["perSecond"]["bytes"]} figures
 * @returns {SeriesSpec[]}
 */
function perDirection(figures) {
  return [
    { label: "from clients", color: "first", valueOf: (status) => figures(status).clientToBackend },
    { label: "to clients", color: "second", valueOf: (status) => figures(status).backendToClient },
  ];
}

/** @param {Status} status */
function slowestWorker({ eventLoopDelayMs: { workers } }) {
  return workers.length === 0 ? null : Math.max(...workers);
}
