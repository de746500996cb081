// From text (or a plain object) to a Config, or to every error at once with its place in the file.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { adviseOn } from "./advice.ts";
import { checkConfig } from "./checks.ts";
import { findNotInEffect } from "./not-in-effect.ts";
import { type Finding, formatPath, type KeyPath, type Problem } from "./problems.ts";
import { resolveConfig } from "./resolve.ts";
import type { Config } from "./schema.ts";
import { validate } from "./validate.ts";
import { readYaml } from "./yaml-source.ts";

export { formatProblem, type Problem } from "./problems.ts";

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly errors: readonly Problem[]; readonly warnings: readonly Problem[] };

export interface LoadSource {
  readonly text: string;
  /** As problems name it; relative paths in the text are relative to its directory. */
  readonly file: string;
  /** What `${NAME}` is filled in from. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What `${file:…}` is filled in from, by absolute path; the file system unless given. */
  readonly readFile?: (path: string) => string;
}

/** Never throws for what stands in the text. */
export function loadConfig({ text, file, env, readFile = readText }: LoadSource): LoadResult {
  const directory = dirname(resolve(file));
  const substitution = { env, readFile: (path: string) => readFile(resolve(directory, path)) };
  const { value, errors, reported, isReadable, locate } = readYaml({ file, text, substitution });
  if (!isReadable || value === undefined) return { ok: false, errors: inOrder(errors), warnings: [] };
  const found = examine(value, directory, reported);
  const all = [...errors, ...found.errors.map(locate)];
  const warnings = inOrder(found.warnings.map(locate));
  if (all.length > 0 || found.config === null) return { ok: false, errors: inOrder(all), warnings };
  return { ok: true, config: found.config, warnings };
}

/** The same from a file; one that cannot be read is an error at its first character. */
export function loadConfigFile(file: string, env: LoadSource["env"]): LoadResult {
  try {
    return loadConfig({ text: readText(file), file, env });
  } catch (error) {
    // "ENOENT: no such file or directory, open 'weir.yaml'"
    const reason = /^E[A-Z]+: (.*?),/.exec(String(error instanceof Error ? error.message : error))?.[1];
    if (reason === undefined) throw error;
    const message = `cannot be read: ${reason}`;
    return { ok: false, errors: [{ file, line: 1, column: 1, path: "", message }], warnings: [] };
  }
}

/** Configurations that have been through here, so that a caller may hand either kind to the library. */
const resolved = new WeakSet<object>();

/**
 * The same from a plain object, for the library: one rule set, but no `${…}`. A Config that was loaded
 * or parsed before comes back as it is.
 *
 * @param directory what relative paths are relative to
 */
export function parseConfig(value: unknown, directory = "."): LoadResult {
  if (isResolved(value)) return { ok: true, config: value, warnings: [] };
  const { config, errors, warnings } = examine(value, resolve(directory), []);
  if (config === null) return { ok: false, errors: errors.map(unplaced), warnings: [] };
  return { ok: true, config, warnings: warnings.map(unplaced) };
}

interface Examined {
  /** Null if there are errors. */
  readonly config: Config | null;
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

function examine(value: unknown, directory: string, reported: readonly KeyPath[]): Examined {
  const { parsed, findings } = validate(value);
  const known = [...reported, ...findings.map(({ path }) => path)];
  // A key that is wrong by itself says nothing reliable about the keys that depend on it.
  const conflicts = checkConfig(value).filter(({ path }) => !known.some((other) => isRelated(path, other)));
  const errors = [
    ...findings.filter(({ path }) => !reported.some((other) => isRelated(path, other))),
    ...conflicts,
  ];
  if (parsed === null || errors.length > 0) return { config: null, errors, warnings: [] };
  const config = resolveConfig(parsed, directory);
  resolved.add(config);
  return { config, errors, warnings: [...findNotInEffect(value, config), ...adviseOn(config)] };
}

function isResolved(value: unknown): value is Config {
  return typeof value === "object" && value !== null && resolved.has(value);
}

/** One is the other, or lies within it. */
function isRelated(a: KeyPath, b: KeyPath): boolean {
  const length = Math.min(a.length, b.length);
  return a.slice(0, length).every((key, index) => key === b[index]);
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}

function inOrder(problems: readonly Problem[]): Problem[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}

function unplaced({ path, message }: Finding): Problem {
  return { file: null, line: null, column: null, path: formatPath(path), message };
}
