// One cookie out of a Cookie header: which one counts, and what of it.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cookieValue } from "../../../src/data-plane/cookies.ts";

describe("cookieValue", () => {
  type Row = [header: string, value: string | null];
  const rows: Row[] = [
    ["uid=ann", "ann"],
    ["a=1; uid=ann; b=2", "ann"],
    ["a=1;uid=ann;b=2", "ann"],
    ["  uid = ann  ;", "ann"],
    ['uid="ann"', "ann"],
    ['uid="', '"'],
    ["uid=a=b==", "a=b=="],
    ["uid=j%C3%BCrgen%20k", "jürgen k"],
    ["uid=a+b", "a+b"],
    ["uid=", ""],
    ["uid=first; uid=second", "first"],
    ["uid=; uid=second", ""],
    ["", null],
    ["uid", null],
    ["=uid", null],
    ["UID=ann", null],
    ["xuid=ann; uidx=ann; x=uid=ann", null],
    // An escape that is no UTF-8, one that is cut short, one that is none.
    ["uid=%ff", null],
    ["uid=ann%", null],
    ["uid=100%zz; uid=second", null],
  ];
  test.each(rows)("reads %j as %j", (header, value) => expect(cookieValue(header, "uid")).toBe(value));

  test("knows names that mean something to JavaScript's objects", () => {
    expect(cookieValue("a=1", "constructor")).toBeNull();
    expect(cookieValue("__proto__=1", "__proto__")).toBe("1");
  });

  test("finds what was percent-encoded, among any other cookies", () => {
    const other = fc.string().map((text) => `other=${text.replaceAll(";", "")}`);
    const others = fc.array(other);
    fc.assert(
      fc.property(others, fc.string({ unit: "binary" }), others, (before, value, after) => {
        const header = [...before, `uid=${encodeURIComponent(value)}`, ...after].join("; ");
        expect(cookieValue(header, "uid")).toBe(value);
      }),
    );
  });

  test("never throws", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (header) => {
        expect(() => cookieValue(`uid=${header}`, "uid")).not.toThrow();
      }),
    );
  });
});
