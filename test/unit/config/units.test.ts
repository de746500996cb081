// Durations, sizes, rates and percentages: what is accepted, what it means, and what the refusal says.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatByteRate,
  formatDuration,
  formatPercent,
  formatRate,
  formatSize,
  parseByteRate,
  parseDuration,
  parsePercent,
  parseRate,
  parseSize,
  UnitError,
} from "../../../src/config/units.ts";

type Accepted = [text: string, value: number];
type Refused = [text: string, message: string];

describe("parseDuration", () => {
  const accepted: Accepted[] = [
    ["500ms", 500],
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["2d", 172_800_000],
    ["0s", 0],
    ["1.5s", 1500],
    ["0.4ms", 0],
  ];
  test.each(accepted)("reads %s as %i ms", (text, ms) => expect(parseDuration(text)).toBe(ms));

  const refused: Refused[] = [
    ["30", '"30" is not a duration like 500ms, 30s, 5m or 1h (a unit is missing: 30s or 30ms?)'],
    ["30sec", '"30sec" is not a duration like 500ms, 30s, 5m or 1h'],
    ["30 s", '"30 s" is not a duration like 500ms, 30s, 5m or 1h'],
    ["-1s", '"-1s" is not a duration like 500ms, 30s, 5m or 1h'],
    ["1m30s", '"1m30s" is not a duration like 500ms, 30s, 5m or 1h'],
    ["", '"" is not a duration like 500ms, 30s, 5m or 1h'],
    ["5constructor", '"5constructor" is not a duration like 500ms, 30s, 5m or 1h'],
    ["25d", '"25d" is longer than the 24 days a timer can count'],
  ];
  test.each(refused)("refuses %j", (text, message) => {
    expect(() => parseDuration(text)).toThrow(new UnitError(message));
  });
});

describe("parseSize", () => {
  const accepted: Accepted[] = [
    ["512B", 512],
    ["64KiB", 65_536],
    ["1MiB", 1_048_576],
    ["1.5GiB", 1_610_612_736],
    ["0B", 0],
  ];
  test.each(accepted)("reads %s as %i bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  const refused: Refused[] = [
    ["64", '"64" is not a size like 512B, 64KiB or 1MiB (a unit is missing: 64B or 64KiB?)'],
    ["64k", '"64k" is not a size like 512B, 64KiB or 1MiB (units are powers of 1024: KiB, MiB, GiB)'],
    ["1MB", '"1MB" is not a size like 512B, 64KiB or 1MiB (units are powers of 1024: KiB, MiB, GiB)'],
    ["99999999999GiB", '"99999999999GiB" is more bytes than can be counted'],
  ];
  test.each(refused)("refuses %j", (text, message) => {
    expect(() => parseSize(text)).toThrow(new UnitError(message));
  });
});

describe("parseRate", () => {
  const accepted: Accepted[] = [
    ["5/s", 5],
    ["300/m", 5],
    ["1/m", 1 / 60],
    ["36/h", 0.01],
    ["0.5/s", 0.5],
  ];
  test.each(accepted)("reads %s as %f per second", (text, rate) => expect(parseRate(text)).toBe(rate));

  const refused: Refused[] = [
    ["5", '"5" is not a rate like 5/s or 300/m (a unit is missing: 5/s or 5/m?)'],
    ["5s", '"5s" is not a rate like 5/s or 300/m'],
    ["5/d", '"5/d" is not a rate like 5/s or 300/m'],
    ["0/s", '"0/s" would let nothing through; a rate is above 0'],
    ["2000000000/s", '"2000000000/s" is above the most that can be counted, 1000000000/s'],
  ];
  test.each(refused)("refuses %j", (text, message) => {
    expect(() => parseRate(text)).toThrow(new UnitError(message));
  });
});

describe("parseByteRate", () => {
  const accepted: Accepted[] = [
    ["1MiB/s", 1_048_576],
    ["60KiB/m", 1024],
    ["512B/s", 512],
  ];
  test.each(accepted)("reads %s as %i bytes per second", (text, rate) => {
    expect(parseByteRate(text)).toBe(rate);
  });

  const refused: Refused[] = [
    ["1MiB", '"1MiB" is not a rate of bytes like 64KiB/s or 1MiB/s'],
    ["5/s", '"5/s" is not a rate of bytes like 64KiB/s or 1MiB/s'],
    [
      "1MB/s",
      '"1MB/s" is not a rate of bytes like 64KiB/s or 1MiB/s (units are powers of 1024: KiB, MiB, GiB)',
    ],
    ["0B/s", '"0B/s" would let nothing through; a rate is above 0'],
  ];
  test.each(refused)("refuses %j", (text, message) => {
    expect(() => parseByteRate(text)).toThrow(new UnitError(message));
  });
});

describe("parsePercent", () => {
  const accepted: Accepted[] = [
    ["50%", 0.5],
    ["0.5%", 0.005],
    ["100%", 1],
    ["0%", 0],
  ];
  test.each(accepted)("reads %s as %f", (text, fraction) => expect(parsePercent(text)).toBe(fraction));

  test("refuses one that is no number any more", () => {
    expect(() => parsePercent(`${"9".repeat(400)}%`)).toThrow("is more than can be counted");
  });

  test("refuses a number without its sign", () => {
    expect(() => parsePercent("50")).toThrow('"50" is not a percentage like 50% (write 50%)');
  });
});

describe("laws", () => {
  const parsers = [parseDuration, parseSize, parseRate, parseByteRate, parsePercent];

  test("any text is a finite number of at least 0, or a UnitError", () => {
    const texts = fc.oneof(fc.string(), fc.stringMatching(/^[\d.]{1,30}[a-zA-Z%/]{0,6}$/));
    fc.assert(
      fc.property(texts, fc.constantFrom(...parsers), (text, parse) => {
        const outcome = attempt(() => parse(text));
        const isAmount = typeof outcome === "number" && Number.isFinite(outcome) && outcome >= 0;
        expect(isAmount || outcome instanceof UnitError).toBe(true);
      }),
    );
  });

  test("a unit is the same amount in the next smaller one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 500 }), (n) => {
        expect(parseDuration(`${n}h`)).toBe(parseDuration(`${n * 60}m`));
        expect(parseDuration(`${n}m`)).toBe(parseDuration(`${n * 60}s`));
        expect(parseDuration(`${n}s`)).toBe(parseDuration(`${n * 1000}ms`));
        expect(parseSize(`${n}GiB`)).toBe(parseSize(`${n * 1024}MiB`));
        expect(parseSize(`${n}KiB`)).toBe(parseSize(`${n * 1024}B`));
      }),
    );
  });
});

function attempt(call: () => number): unknown {
  try {
    return call();
  } catch (error) {
    return error;
  }
}

describe("what is formatted", () => {
  const formatted: [text: string, expected: string][] = [
    [formatDuration(0), "0ms"],
    [formatDuration(1500), "1500ms"],
    [formatDuration(90_000), "90s"],
    [formatDuration(3_600_000), "1h"],
    [formatSize(1_048_576), "1MiB"],
    [formatSize(1_572_864), "1536KiB"],
    [formatSize(100), "100B"],
    [formatRate(5), "5/s"],
    [formatRate(0.1), "6/m"],
    [formatRate(1 / 3600), "1/h"],
    [formatByteRate(1_048_576), "1MiB/s"],
    [formatByteRate(65_536 / 60), "64KiB/m"],
    [formatPercent(0.07), "7%"],
    [formatPercent(0.125), "12.5%"],
  ];
  test.each(formatted)("%s", (text, expected) => expect(text).toBe(expected));

  test("is read as the same value", () => {
    const whole = fc.integer({ min: 0, max: 2 ** 31 - 1 });
    const perHour = fc.integer({ min: 1, max: 1_000_000 }).map((times) => times / 3600);
    fc.assert(
      fc.property(whole, perHour, (value, rate) => {
        expect(parseDuration(formatDuration(value))).toBe(value);
        expect(parseSize(formatSize(value))).toBe(value);
        expect(parseRate(formatRate(rate))).toBeCloseTo(rate, 9);
        expect(parseByteRate(formatByteRate(rate))).toBeCloseTo(rate, 9);
        expect(parsePercent(formatPercent(rate))).toBeCloseTo(rate, 9);
      }),
    );
  });
});
