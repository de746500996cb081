// Which keys have to do with others: checked against the definition, pair by pair.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { KeyPathSet } from "../../../src/config/key-path-set.ts";
import type { KeyPath } from "../../../src/config/problems.ts";

/** Few keys, so that paths meet. */
const path = fc.array(fc.constantFrom("a", "b", "0", 0, 1), { maxLength: 4 });

/** One is the beginning of the other. */
function isBeginning(a: KeyPath, b: KeyPath): boolean {
  return a.slice(0, b.length).every((key, depth) => key === b[depth]);
}

test("a key is related to one that it is, holds or lies within", () => {
  fc.assert(
    fc.property(fc.array(path, { maxLength: 5 }), path, (paths, asked) => {
      const isRelated = paths.some((other) => isBeginning(asked, other));
      expect(new KeyPathSet(paths).isRelated(asked)).toBe(isRelated);
    }),
  );
});
