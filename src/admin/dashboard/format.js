// Figures as text: short, and as exact as an eye can use them.

const integers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const threeDigits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, useGrouping: false });

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 12,345
 * @param {number} value */
export function integer(value) {
  return integers.format(value);
}

/** Up to 9,999 exactly, then 12.3k and 4.56M; below 10 one decimal.
 * @param {number} value */
export function rate(value) {
  if (value >= 1e6) return `${threeDigits.format(value / 1e6)}M`;
  if (value >= 1e4) return `${threeDigits.format(value / 1e3)}k`;
  return value < 10 ? String(Math.round(value * 10) / 10) : integers.format(value);
}

/** 640 B, 1.5 KiB, 23.4 MiB
 * @param {number} value */
export function bytes(value) {
  let amount = value;
  let unit = 0;
  while (amount >= 1000 && unit < BYTE_UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? integers.format(amount) : threeDigits.format(amount)} ${BYTE_UNITS[unit]}`;
}

/** 0.42 ms, 12 ms, 1.5 s
 * @param {number} ms */
export function milliseconds(ms) {
  return ms < 1000
    ? `${threeDigits.format(ms < 100 ? round(ms, 2) : round(ms, 0))} ms`
    : `${round(ms / 1000, 2)} s`;
}

/** Of a share from 0 to 1: 0 %, 0.25 %, 12.3 %
 * @param {number} share */
export function percent(share) {
  return `${round(share * 100, share < 0.1 ? 2 : 1)} %`;
}

/** 45 s, 12 min, 2 h 5 min, 3 d 4 h
 * @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Local time of day: 14:03:27
 * @param {string} iso */
export function timeOfDay(iso) {
  const time = new Date(iso);
  return [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
}

/** @param {number} value
 * @param {number} digits */
function round(value, digits) {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
