// Keys that something is known of, to ask of another key whether it has to do with one of them. Looks at
// the keys of the path that is asked for only, however many others there are.

import type { KeyPath } from "./problems.ts";

interface Branch {
  /** A path of the set ends here. */
  isEnd: boolean;
  readonly below: Map<string | number, Branch>;
}

export class KeyPathSet {
  readonly #root: Branch = newBranch();

  constructor(paths: Iterable<KeyPath>) {
    for (const path of paths) this.#add(path);
  }

  /** It is one of the set, lies within one, or has one within it. */
  isRelated(path: KeyPath): boolean {
    let branch = this.#root;
    for (const key of path) {
      if (branch.isEnd) return true;
      const next = branch.below.get(key);
      if (next === undefined) return false;
      branch = next;
    }
    return branch.isEnd || branch.below.size > 0;
  }

  #add(path: KeyPath): void {
    let branch = this.#root;
    for (const key of path) {
      const next = branch.below.get(key) ?? newBranch();
      branch.below.set(key, next);
      branch = next;
    }
    branch.isEnd = true;
  }
}

function newBranch(): Branch {
  return { isEnd: false, below: new Map() };
}
