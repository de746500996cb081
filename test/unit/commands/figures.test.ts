// How figures are spelled for people.

import { expect, test } from "vitest";
import { count, latency, share, size, span } from "../../../src/commands/figures.ts";

test.each([
  [count(0), "0"],
  [count(0.25), "0.3"],
  [count(12_345.6), "12,346"],
  [size(0), "0 B"],
  [size(1_023), "1023 B"],
  [size(1_024), "1.0 KiB"],
  [size(150 * 1_024 * 1_024), "150 MiB"],
  [size(2 ** 60), "1048576 TiB"],
  [share(0), "0%"],
  [share(0.004), "0.4%"],
  [share(0.1234), "12%"],
  [share(1), "100%"],
  [latency(null), "–"],
  [latency(0.42), "0.4 ms"],
  [latency(42.4), "42 ms"],
  [latency(1_234), "1.2 s"],
  [span(0), "0s"],
  [span(59.9), "59s"],
  [span(3_600), "1h"],
  [span(11_535), "3h 12m"],
  [span(90_061), "1d 1h"],
  [span(86_400 + 59), "1d"],
])("%s", (text, expected) => expect(text).toBe(expected));
