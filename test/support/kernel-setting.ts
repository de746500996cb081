// A setting of the kernel for the length of a test, where the test may change it: as root, as in CI.
import { readFileSync, writeFileSync } from "node:fs";

import { onCleanup } from "./cleanup.ts";
import type { Requirement } from "./requirement.ts";

/** What a test needs that sets it; see requirement.ts. */
export function settable(name: string): Requirement {
  const file = fileOf(name);
  return { name: `the right to set ${name} (as root)`, path: isWritable(file) ? file : undefined };
}

export function setForTest(name: string, value: string): void {
  const file = fileOf(name);
  const before = readFileSync(file, "utf8");
  writeFileSync(file, value);
  onCleanup(name, () => writeFileSync(file, before));
}

function fileOf(name: string): string {
  return `/proc/sys/${name.replaceAll(".", "/")}`;
}

/** By doing it: a container's root may see files that it cannot write to. */
function isWritable(file: string): boolean {
  try {
    writeFileSync(file, readFileSync(file, "utf8"));
    return true;
  } catch {
    return false;
  }
}
