// Tests that need a program which a machine may lack: skipped with a printed reason where it is
// missing, failed where CI=true or WEIR_CI=1 says that nothing may be skipped.
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

export interface Requirement {
  readonly name: string;
  /** Where it is; undefined when it is missing. */
  readonly path: string | undefined;
}

/** Looks for a program at `override` (then nowhere else), or under its names in PATH. */
export function findProgram(names: readonly string[], override?: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const candidates = override ? [override] : names.flatMap((name) => folders.map((each) => join(each, name)));
  return candidates.find(isExecutable);
}

/** For `test.skipIf(isMissing(…))`. Says so once per test; in CI the test runs into the failure instead. */
export function isMissing(requirement: Requirement): boolean {
  if (requirement.path !== undefined || isCi()) return false;
  console.warn(`skipped: a test needs ${requirement.name}, which is not installed`);
  return true;
}

/** The program's path, or an error that says what to install. */
export function pathOf(requirement: Requirement): string {
  if (requirement.path === undefined) throw new Error(`${requirement.name} is not installed`);
  return requirement.path;
}

function isCi(): boolean {
  return process.env["CI"] === "true" || process.env["WEIR_CI"] === "1";
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
