// "did you mean": near words are suggested, far ones are not.

import { expect, test } from "vitest";
import { nearestWord, Suggestions } from "../../../src/config/suggest.ts";

const KEYS = ["listeners", "threads", "trustedProxies", "pools", "log", "admin", "maxConnections"];

const cases: [word: string, nearest: string | null][] = [
  ["listner", "listeners"],
  ["listeners", "listeners"],
  ["maxconnections", "maxConnections"],
  ["maxConection", "maxConnections"],
  ["trusted_proxies", "trustedProxies"],
  ["opols", "pools"],
  ["lgo", "log"],
  ["pool", "pools"],
  ["banana", null],
  ["x", null],
  ["", null],
];

test.each(cases)("%j is nearest to %j", (word, nearest) => {
  expect(nearestWord(word, KEYS)).toBe(nearest);
});

/** Counts how often all of its words are gone through. */
class CountedWords implements Iterable<string> {
  searches = 0;

  [Symbol.iterator](): Iterator<string> {
    this.searches += 1;
    return KEYS[Symbol.iterator]();
  }
}

test("what nobody can have typed is compared with nothing", () => {
  const words = new CountedWords();
  expect(nearestWord("x".repeat(201), words)).toBeNull();
  expect(words.searches).toBe(0);
});

test("a word is looked for once, and the 101st not at all", () => {
  const words = new CountedWords();
  const suggestions = new Suggestions(words);
  expect(suggestions.for("listner")).toBe(" (did you mean listeners?)");
  for (let i = 0; i < 200; i++) suggestions.for(`no word ${i}`);
  expect(words.searches).toBe(100);
  expect(suggestions.for("listner")).toBe(" (did you mean listeners?)");
  expect(suggestions.for("treads")).toBe("");
});
