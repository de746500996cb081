// What a terminal is shown of text that came from outside.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { fitted, plain, widthOf } from "../../../src/commands/plain-text.ts";

test.each([
  ["\u001b[2J\u001b]0;owned\u0007", "\u{FFFD}[2J\u{FFFD}]0;owned\u{FFFD}"],
  ["a\u009b31mb", "a\u{FFFD}31mb"],
  ["a\r\nb\tc", "a\u{FFFD}\u{FFFD}b\u{FFFD}c"],
  ["a\u2028b\u202ec", "a\u{FFFD}b\u{FFFD}c"],
  ["a\ud800", "a\u{FFFD}"],
  ["josé ☃ 日本 👋", "josé ☃ 日本 👋"],
])("nothing of %j can command it", (text, shown) => expect(plain(text)).toBe(shown));

test("a plain text has no control character, whatever it was", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(plain(text)).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test.each([
  ["abc", 3],
  ["日本", 4],
  ["e\u0301", 1],
  ["👋", 2],
  ["", 0],
])("%s takes %i cells", (text, width) => expect(widthOf(text)).toBe(width));

test("a text is filled up or cut to exactly the width of its column", () => {
  expect(fitted("ab", 4)).toBe("ab  ");
  expect(fitted("12", 4, "right")).toBe("  12");
  expect(fitted("abcdef", 4)).toBe("abc…");
  expect(fitted("日本語", 4)).toBe("日… ");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 0, max: 30 }), (text, width) => {
      expect(widthOf(fitted(plain(text), width))).toBe(width);
    }),
  );
});
