// One cookie out of a Cookie header: which one counts, and what of it; and a header without some of them.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cookieValue, withoutCookies } from "../../../src/data-plane/cookies.ts";

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

describe("withoutCookies", () => {
  const names = new Set(["own", "weir-chat.1"]);
  type Row = [line: string, left: string | null];
  const rows: Row[] = [
    ["own=1", null],
    [" own = 1 ; ", null],
    ["own=1; own=2; weir-chat.1=3", null],
    ["a=1; own=2", "a=1"],
    ["own=1; b=2", "b=2"],
    ["a=1; own=2;b=3;  c=4", "a=1;b=3;  c=4"],
    ["a=1; own=2; ; b=3", "a=1; b=3"],
    ["a; own=2; =b", "a; =b"],
    // Nothing of these is ours, so nothing is changed.
    ["", ""],
    [" a=1 ;; b=own=2; ", " a=1 ;; b=own=2; "],
    [
      "own; Own=1; xown=1; ownx=2; weir-chatx1=3; =own=1",
      "own; Own=1; xown=1; ownx=2; weir-chatx1=3; =own=1",
    ],
  ];
  test.each(rows)("of %j is %j", (line, left) => expect(withoutCookies(line, names)).toBe(left));

  test("leaves every other cookie with its value, in order", () => {
    const name = fc.constantFrom("own", "a", "b", "weir-chat.1");
    const value = fc.string().map((text) => text.replaceAll(";", "").trim());
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (cookies) => {
        const line = (some: typeof cookies): string => some.map((pair) => pair.join("=")).join("; ");
        const others = cookies.filter(([each]) => !names.has(each));
        const left = withoutCookies(line(cookies), names);
        expect(left ?? "").toBe(line(others));
        expect(left === null).toBe(cookies.length > 0 && others.length === 0);
      }),
    );
  });
});
