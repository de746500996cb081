// "did you mean": near words are suggested, far ones are not.

import { expect, test } from "vitest";
import { nearestWord } from "../../../src/config/suggest.ts";

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
