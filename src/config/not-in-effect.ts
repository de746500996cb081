// Keys that are validated and accepted although their feature is not built yet. Whoever builds one takes
// its keys out of the list; nobody who sets one is left to believe that it works.

import type { Finding, KeyPath } from "./problems.ts";
import { entriesOf, field, itemsOf } from "./raw.ts";
import type { Config } from "./schema.ts";

/** `*` stands for a name, `[]` for an item of a list; everything below a key is meant as well. */
export const NOT_IN_EFFECT = ["pools.*.backends[].proxyProtocol"] as const;

/** A warning for each such key that the file asks something of, be it what is the default. */
export function findNotInEffect(raw: unknown, config: Config): Finding[] {
  return NOT_IN_EFFECT.flatMap((pattern) =>
    matchesOf(raw, pattern.split(/\.|(?=\[\])/))
      .filter((path) => {
        // A key that its resolved form does not have, such as a kind of source, is there because it was set.
        const value = valueAt(config, path) ?? valueAt(raw, path);
        return !isOff(value);
      })
      .map((path): Finding => ({ path, at: "key", message: "not in effect yet" })),
  );
}

/** Lists and mappings are off where all that is in them is. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).every((one) => isOff(one));
  return value === null || value === false || value === 0 || value === "none" || value === "off";
}

/** The paths that are there in the file. */
function matchesOf(raw: unknown, segments: readonly string[]): (string | number)[][] {
  const [segment, ...rest] = segments;
  if (segment === undefined) return raw === undefined ? [] : [[]];
  const children: [string | number, unknown][] =
    segment === "[]"
      ? itemsOf(raw).map((item, index) => [index, item])
      : segment === "*"
        ? entriesOf(raw)
        : [[segment, field(raw, segment)]];
  return children.flatMap(([key, child]) => matchesOf(child, rest).map((path) => [key].concat(path)));
}

function valueAt(value: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof key === "number" ? itemsOf(at)[key] : field(at, key)),
    value,
  );
}
