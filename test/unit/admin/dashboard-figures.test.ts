// What the dashboard keeps of the past, and how it writes figures. Its modules are scripts of a page, so their
// types are told here.
import { describe, expect, test } from "vitest";

const folder = new URL("../../../src/admin/dashboard/", import.meta.url);

type Figure = (status: { readonly time: string; readonly value: number }) => number | null;

interface HistoryModule {
  readonly History: new (figures: readonly Figure[]) => {
    readonly times: readonly number[];
    readonly columns: readonly (readonly (number | null)[])[];
    add(status: { readonly time: string; readonly value: number }): void;
  };
}

type FormatModule = Record<
  "integer" | "rate" | "bytes" | "milliseconds" | "percent" | "duration",
  (value: number) => string
>;

const { History } = (await import(new URL("history.js", folder).href)) as HistoryModule;
const format = (await import(new URL("format.js", folder).href)) as FormatModule;

function at(seconds: number): { time: string; value: number } {
  return { time: new Date(seconds * 1_000).toISOString(), value: seconds };
}

describe("the past", () => {
  test("goes back ten minutes and no further", () => {
    const history = new History([({ value }) => value]);
    for (let seconds = 1; seconds <= 2_000; seconds++) history.add(at(seconds));
    expect(history.times.at(0)).toBe(1_400);
    expect(history.times.at(-1)).toBe(2_000);
    expect(history.columns[0]).toEqual(history.times);
  });

  test("has a gap where nothing came, and no line across it", () => {
    const history = new History([({ value }) => value, () => null]);
    for (const seconds of [1, 2, 60, 61]) history.add(at(seconds));
    expect(history.times).toEqual([1, 2, 3, 60, 61]);
    expect(history.columns).toEqual([
      [1, 2, null, 60, 61],
      [null, null, null, null, null],
    ]);
  });

  test("does not run back with a clock that was set back", () => {
    const history = new History([({ value }) => value]);
    for (const seconds of [10, 11, 5, 11, 12]) history.add(at(seconds));
    expect(history.times).toEqual([10, 11, 12]);
  });
});

describe("a figure", () => {
  test.for([
    ["integer", 12_345.4, "12,345"],
    ["rate", 0, "0"],
    ["rate", 3.14, "3.1"],
    ["rate", 9.99, "10"],
    ["rate", 9_999, "9,999"],
    ["rate", 12_345, "12.3k"],
    ["rate", 4_560_000, "4.56M"],
    ["bytes", 0, "0 B"],
    ["bytes", 999, "999 B"],
    ["bytes", 1_000, "0.977 KiB"],
    ["bytes", 1_536, "1.5 KiB"],
    ["bytes", 23.44 * 1_048_576, "23.4 MiB"],
    ["milliseconds", 0.4211, "0.42 ms"],
    ["milliseconds", 123.4, "123 ms"],
    ["milliseconds", 1_500, "1.5 s"],
    ["percent", 0.0025, "0.25 %"],
    ["percent", 0.1234, "12.3 %"],
    ["duration", 45.9, "45 s"],
    ["duration", -1, "0 s"],
    ["duration", 7_500, "2 h 5 min"],
    ["duration", 273_600, "3 d 4 h"],
  ] as const)("as %s: %d is %s", ([kind, value, text]) => {
    expect(format[kind](value)).toBe(text);
  });
});
