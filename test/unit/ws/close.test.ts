// Close payloads and codes: what is read from a peer, and how metrics name it.

import { describe, expect, test } from "vitest";
import { closeCodeLabel, isValidCloseCode, parseClosePayload } from "../../../src/ws/close.ts";

describe("parseClosePayload", () => {
  const payloads: [hex: string, code: number, reason: string][] = [
    ["", 1005, ""],
    ["03", 1005, ""],
    ["03e8", 1000, ""],
    ["03e9627965", 1001, "bye"],
    ["0fa0e282ac", 4000, "€"],
    ["ffff", 65_535, ""],
    ["03e8ff", 1000, "\u{fffd}"],
  ];

  test.each(payloads)("reads %j as %i %j", (hex, code, reason) => {
    expect(parseClosePayload(Buffer.from(hex, "hex"))).toEqual({ code, reason });
  });
});

test("isValidCloseCode holds to RFC 6455 §7.4 and the codes registered since", () => {
  const valid = Array.from({ length: 65_536 }, (_, code) => code).filter(isValidCloseCode);
  const registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
  expect(valid.slice(0, registered.length)).toEqual(registered);
  expect(valid.slice(registered.length)).toEqual(Array.from({ length: 2000 }, (_, index) => 3000 + index));
  expect([-1, 1000.5, Number.NaN].some(isValidCloseCode)).toBe(false);
});

describe("closeCodeLabel", () => {
  const labels: [code: number, label: string][] = [
    [0, "other"],
    [999, "other"],
    [1000, "1000"],
    [1005, "1005"],
    [1006, "1006"],
    [1015, "1015"],
    [1016, "other"],
    [2999, "other"],
    [3000, "3xxx"],
    [3999, "3xxx"],
    [4000, "4xxx"],
    [4999, "4xxx"],
    [5000, "other"],
    [65_535, "other"],
  ];

  test.each(labels)("calls %i %j", (code, label) => {
    expect(closeCodeLabel(code)).toBe(label);
  });
});
