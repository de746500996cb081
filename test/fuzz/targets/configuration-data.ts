// A configuration as an object, as the library's users hand it over: any value anywhere.

import { parse } from "yaml";
import { parseConfig } from "../../../src/config/load.ts";
import { checkLoaded } from "../configuration-laws.ts";
import type { Random } from "../random.ts";
import { readConfigurations } from "../seeds.ts";
import type { FuzzTarget } from "../target.ts";

/** What no text can hold, and what is taken for something else. */
const ODD: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => -0,
  () => 2 ** 53,
  () => 10n,
  () => Symbol("odd"),
  () => () => "off",
  () => new Date(Number.NaN),
  () => /x/,
  () => new Map([["url", "ws://a:1"]]),
  () => Object.create(null),
  () => JSON.parse('{"__proto__": {"polluted": true}}'),
  () => new Proxy({}, {}),
  () => Array.from({ length: 3 }),
  () => Buffer.from("ws://a:1"),
  () => circle(),
  () => "",
  () => "off",
  () => "\u0000\u2028\r\n",
  () => "x".repeat(5_000),
  () => [[[[[[]]]]]],
  () => true,
  () => 0,
  () => 1.5,
  () => "99999999999999999999s",
];

const KEYS = ["__proto__", "constructor", "toString", "length", "0", "", "a\nb", "url", "id", "default"];

export const target: FuzzTarget = { seeds: [Buffer.alloc(0)], words: [], run };

const VALUES = readConfigurations().map((text): unknown => parse(text.toString()));

/** The seeds are values, and so are the wounds: the bytes of the input mean nothing. */
function run(_input: Buffer, random: Random): void {
  const value = { root: structuredClone(random.pick(VALUES)) };
  for (let wounds = random.below(4); wounds >= 0; wounds--) wound(value, random);
  checkLoaded(parseConfig(value.root, "/fuzz"), null);
  if (Object.hasOwn(Object.prototype, "polluted")) throw new Error("Object.prototype was written to");
}

/** Walks down at random, and hurts what it comes to. */
function wound(parent: object, random: Random): void {
  const keys = Object.keys(parent);
  if (keys.length === 0) return;
  const key = random.pick(keys);
  const child: unknown = Reflect.get(parent, key);
  if (isSection(child) && !random.oneIn(4)) return wound(child, random);
  if (random.oneIn(6)) Reflect.deleteProperty(parent, key);
  // Nobody gives an array a name beside its items.
  else if (!Array.isArray(parent) && random.oneIn(4)) define(parent, random.pick(KEYS), child);
  else define(parent, key, random.oneIn(8) ? parent : random.pick(ODD)());
}

function isSection(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

/** Assigning to `__proto__` would do something else. */
function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
}

function circle(): object {
  const round: Record<string, unknown> = {};
  round["backends"] = round;
  return round;
}
