// Durations, sizes, rates and percentages as a person writes them, turned into plain numbers.
// Each parser throws a UnitError whose message names the value and what is accepted.

/** The text is not what its unit allows; `message` is ready to print after a key's path. */
export class UnitError extends Error {
  override name = "UnitError";
}

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const BYTES_PER_UNIT: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const SECONDS_PER_UNIT: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** Node's timers overflow above this and would fire at once. */
const MAX_DURATION_MS = 2 ** 31 - 1;
const MAX_RATE_PER_SECOND = 1e9;
const MAX_BYTES_PER_SECOND = 2 ** 40;

const NUMBER = String.raw`\d+(?:\.\d+)?`;

/** The same shapes as regular expressions, for the JSON Schema. */
export const UNIT_PATTERNS = {
  duration: `^${NUMBER}(ms|s|m|h|d)$`,
  size: `^${NUMBER}(B|KiB|MiB|GiB)$`,
  rate: `^${NUMBER}/(s|m|h)$`,
  byteRate: `^${NUMBER}(B|KiB|MiB|GiB)/(s|m|h)$`,
  percent: `^${NUMBER}%$`,
} as const;

const ACCEPTED = {
  duration: "a duration like 500ms, 30s, 5m or 1h",
  size: "a size like 512B, 64KiB or 1MiB",
  rate: "a rate like 5/s or 300/m",
  byteRate: "a rate of bytes like 64KiB/s or 1MiB/s",
  percent: "a percentage like 50%",
} as const;

export type Unit = keyof typeof ACCEPTED;

/** `500ms`, `30s`, `5m`, `1h`, `2d` in milliseconds, whole. */
export function parseDuration(text: string): number {
  const [amount, unit] = split("duration", text, MS_PER_UNIT);
  const ms = Math.round(amount * unit);
  if (ms > MAX_DURATION_MS)
    throw new UnitError(`${quote(text)} is longer than the 24 days a timer can count`);
  return ms;
}

/** `512B`, `64KiB`, `1MiB`, `2GiB` in bytes, whole. */
export function parseSize(text: string): number {
  const [amount, unit] = split("size", text, BYTES_PER_UNIT);
  const bytes = Math.round(amount * unit);
  if (!Number.isSafeInteger(bytes)) throw new UnitError(`${quote(text)} is more bytes than can be counted`);
  return bytes;
}

/** `5/s`, `300/m`, `10/h` per second, fractions kept. */
export function parseRate(text: string): number {
  const [amount, seconds] = split("rate", text, SECONDS_PER_UNIT, "/");
  return checkRate(text, amount / seconds, MAX_RATE_PER_SECOND);
}

/** `64KiB/s`, `1MiB/m` in bytes per second, fractions kept. */
export function parseByteRate(text: string): number {
  const slash = text.indexOf("/");
  const seconds = SECONDS_PER_UNIT[text.slice(slash + 1)];
  if (slash < 0 || seconds === undefined) throw new UnitError(notA("byteRate", text));
  const [amount, unit] = split("byteRate", text.slice(0, slash), BYTES_PER_UNIT, "", text);
  return checkRate(text, (amount * unit) / seconds, MAX_BYTES_PER_SECOND);
}

/** `5%` as a fraction. */
export function parsePercent(text: string): number {
  const [amount] = split("percent", text, { "%": 1 });
  if (!Number.isFinite(amount)) throw new UnitError(`${quote(text)} is more than can be counted`);
  return amount / 100;
}

/** What to say of a value that is no such quantity at all. */
export function notA(unit: Unit, value: unknown): string {
  return `${describeValue(value)} is not ${ACCEPTED[unit]}${hint(unit, value)}`;
}

/** A value as error messages show it: quoted and cut, never a whole section. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a mapping";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return value === undefined || value === null ? "nothing" : `a ${typeof value}`;
}

function split(
  unit: Unit,
  text: string,
  factors: Readonly<Record<string, number>>,
  separator = "",
  whole = text,
): [amount: number, factor: number] {
  const match = /^(\d+(?:\.\d+)?)(.+)$/.exec(text);
  const suffix = match?.[2] ?? "";
  const name = suffix.startsWith(separator) ? suffix.slice(separator.length) : "";
  const factor = Object.hasOwn(factors, name) ? factors[name] : undefined;
  if (match === null || factor === undefined) throw new UnitError(notA(unit, whole));
  return [Number(match[1]), factor];
}

function checkRate(text: string, perSecond: number, max: number): number {
  if (perSecond === 0) throw new UnitError(`${quote(text)} would let nothing through; a rate is above 0`);
  if (perSecond > max) throw new UnitError(`${quote(text)} is above the most that can be counted, ${max}/s`);
  return perSecond;
}

function hint(unit: Unit, value: unknown): string {
  if (typeof value !== "string" && typeof value !== "number") return "";
  const text = String(value);
  const isBareNumber = /^\d+(\.\d+)?$/.test(text);
  if (unit === "duration" && isBareNumber) return ` (a unit is missing: ${text}s or ${text}ms?)`;
  if (unit === "size" && isBareNumber) return ` (a unit is missing: ${text}B or ${text}KiB?)`;
  if (unit === "rate" && isBareNumber) return ` (a unit is missing: ${text}/s or ${text}/m?)`;
  if (unit === "percent" && isBareNumber) return ` (write ${text}%)`;
  if ((unit === "size" || unit === "byteRate") && /\d[kmg]b?(\/|$)/i.test(text)) {
    return " (units are powers of 1024: KiB, MiB, GiB)";
  }
  return "";
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/** Milliseconds as `parseDuration` reads them. */
export function formatDuration(ms: number): string {
  return inLargestUnit(ms, MS_PER_UNIT);
}

/** Bytes as `parseSize` reads them. */
export function formatSize(bytes: number): string {
  return inLargestUnit(bytes, BYTES_PER_UNIT);
}

/** Per second as `parseRate` reads it: per minute or hour where that is a whole number. */
export function formatRate(perSecond: number): string {
  const [unit, amount] = wholeRate(perSecond);
  return `${amount}/${unit}`;
}

/** Bytes per second as `parseByteRate` reads them. */
export function formatByteRate(perSecond: number): string {
  const [unit, amount] = wholeRate(perSecond);
  return `${formatSize(amount)}/${unit}`;
}

/** A fraction as `parsePercent` reads it. */
export function formatPercent(fraction: number): string {
  return `${readable(fraction * 100)}%`;
}

/** The largest unit that the amount is a multiple of; the smallest for 0. */
function inLargestUnit(amount: number, factors: Readonly<Record<string, number>>): string {
  const isFitting = ([, factor]: [string, number]): boolean => amount % factor === 0 && amount >= factor;
  const [smallest] = Object.entries(factors);
  const [unit, factor] = Object.entries(factors).findLast(isFitting) ?? smallest ?? ["", 1];
  return `${readable(amount / factor)}${unit}`;
}

function wholeRate(perSecond: number): [unit: string, amount: number] {
  const candidates = Object.entries(SECONDS_PER_UNIT).map(([unit, seconds]): [string, number] => [
    unit,
    readable(perSecond * seconds),
  ]);
  return candidates.find(([, amount]) => Number.isInteger(amount)) ?? ["s", readable(perSecond)];
}

/** Without the digits that only say that fractions are not exact. */
function readable(amount: number): number {
  return Number(amount.toPrecision(12));
}
