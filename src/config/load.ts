// From text (or a plain object) to a Config, or to every error at once with its place in the file.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { adviseOn } from "./advice.ts";
import { fixedKeysOf } from "./changes.ts";
import { checkCertificates, type Purpose } from "./certificate-checks.ts";
import { type BackendsLists, includeBackends } from "./backends-file.ts";
import { checkConfig } from "./checks.ts";
import { checkKeyFiles } from "./key-files.ts";
import { KeyPathSet } from "./key-path-set.ts";
import { type Finding, formatPath, formatProblem, type KeyPath, type Problem } from "./problems.ts";
import { resolveConfig } from "./resolve.ts";
import type { Config } from "./schema.ts";
import { type Fingerprints, reasonOf, SourceFiles } from "./source-files.ts";
import { tlsFilesOf } from "./tls-files.ts";
import { validate } from "./validate.ts";
import { readYaml } from "./yaml-source.ts";

export { formatProblem } from "./problems.ts";
export type { Fingerprints } from "./source-files.ts";

export type LoadResult = LoadedConfig | InvalidConfig;

export interface LoadedConfig {
  readonly ok: true;
  readonly config: Config;
  readonly warnings: readonly Problem[];
  /** Every file that it was made of, by absolute path: what a watch has to look at. */
  readonly files: Fingerprints;
  /** Where the keys stand in the text that need a restart, by their paths. */
  readonly fixedKeys: ReadonlyMap<string, Problem>;
}

export interface InvalidConfig {
  readonly ok: false;
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** As far as they were read. */
  readonly files: Fingerprints;
}

export interface LoadSource {
  readonly text: string;
  /** As problems name it; relative paths in the text are relative to its directory. */
  readonly file: string;
  /** What `${NAME}` is filled in from. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Every other file, by absolute path; the file system unless given. */
  readonly readFile?: (path: string) => string;
  /** `check` unless given. */
  readonly purpose?: Purpose;
}

/** Never throws for what stands in the text. */
export function loadConfig(source: LoadSource): LoadResult {
  const { text, file, env, readFile = readText, purpose = "check" } = source;
  const path = resolve(file);
  const files = new SourceFiles(readFile);
  files.add(path, text);
  const substitution = { env, readFile: (other: string) => files.read(resolve(dirname(path), other)) };
  const whenEmpty = "is empty: a configuration needs at least listeners and pools";
  const { value, errors, reported, isReadable, locate } = readYaml({ file, text, substitution, whenEmpty });
  if (!isReadable || value === undefined) {
    return { ok: false, errors: inOrder(errors, file), warnings: [], files: files.fingerprints };
  }
  return build({ value, file, directory: dirname(file), env, files, purpose, errors, reported, locate });
}

/** The same from a file; one that cannot be read is an error at its first character. */
export function loadConfigFile(file: string, env: LoadSource["env"], purpose: Purpose): LoadResult {
  const files = new SourceFiles(readText);
  let text: string;
  try {
    text = files.read(resolve(file));
  } catch (error) {
    const message = `cannot be read: ${reasonOf(error)}`;
    const errors = [{ file, line: 1, column: 1, path: "", message }];
    return { ok: false, errors, warnings: [], files: files.fingerprints };
  }
  return loadConfig({ text, file, env, purpose });
}

/** Configurations that have been through here, so that a caller may hand either kind to the library. */
const resolved = new WeakSet<object>();

/**
 * The same from a plain object, for the library: one rule set, but no `${…}`, except in a `backendsFile`.
 * A Config that was loaded or parsed before comes back as it is.
 *
 * @param directory what relative paths are relative to
 */
export function parseConfig(value: unknown, directory = "."): LoadResult {
  if (isResolved(value))
    return { ok: true, config: value, warnings: [], files: new Map(), fixedKeys: new Map() };
  const files = new SourceFiles(readText);
  const source = { value, file: null, directory, env: process.env, files, purpose: "run" as const };
  return build({ ...source, errors: [], reported: [], locate: unplaced });
}

/** A configuration as plain data, and what is known of the text it came from. */
interface RawConfig {
  readonly value: unknown;
  readonly file: string | null;
  readonly directory: string;
  readonly env: LoadSource["env"];
  readonly files: SourceFiles;
  readonly purpose: Purpose;
  readonly errors: readonly Problem[];
  readonly reported: readonly KeyPath[];
  readonly locate: (finding: Finding) => Problem;
}

function build(raw: RawConfig): LoadResult {
  const included = includeBackends(raw);
  const reported = [...raw.reported, ...included.reported];
  const found = examine(included.value, resolve(raw.directory), reported, included.lists);
  const locate = (finding: Finding): Problem => included.locate(finding) ?? raw.locate(finding);
  const located = [...included.findings, ...found.errors].map(locate);
  const errors = inOrder([...raw.errors, ...located, ...included.errors], raw.file);
  const warnings = inOrder(found.warnings.map(locate), raw.file);
  const files = raw.files.fingerprints;
  if (errors.length > 0 || found.config === null) return { ok: false, errors, warnings, files };
  return examineFiles({ raw, config: found.config, warnings, locate });
}

/** Certificates and keys: by themselves the configuration is valid. */
function examineFiles(valid: {
  readonly raw: RawConfig;
  readonly config: Config;
  readonly warnings: readonly Problem[];
  readonly locate: (finding: Finding) => Problem;
}): LoadResult {
  const { raw, config, locate } = valid;
  const read = (path: string): string => raw.files.read(path);
  for (const path of tlsFilesOf(config)) raw.files.note(path);
  const found = checkCertificates(config, read, { purpose: raw.purpose, nowMs: Date.now() });
  const errors = inOrder([...checkKeyFiles(config, read), ...found.errors].map(locate), raw.file);
  const warnings = inOrder([...valid.warnings, ...found.warnings.map(locate)], raw.file);
  const files = raw.files.fingerprints;
  if (errors.length > 0) return { ok: false, errors, warnings, files };
  return { ok: true, config, warnings, files, fixedKeys: placesOfFixedKeys(config, locate) };
}

function placesOfFixedKeys(config: Config, locate: RawConfig["locate"]): LoadedConfig["fixedKeys"] {
  const places = new Map<string, Problem>();
  for (const key of fixedKeysOf(config)) {
    const { file, line, column, message } = locate({ path: key, message: "needs a restart" });
    // In its short form, a listener stands in the place of its `bind`.
    const path = formatPath(key);
    if (line !== null) places.set(path, { file, line, column, path, message });
  }
  return places;
}

interface Examined {
  /** Null if there are errors. */
  readonly config: Config | null;
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

function examine(
  value: unknown,
  directory: string,
  reported: readonly KeyPath[],
  lists: BackendsLists,
): Examined {
  const { parsed, findings } = validate(value);
  const unread = new KeyPathSet(reported);
  // A key that is wrong by itself says nothing reliable about the keys that depend on it.
  const wrong = new KeyPathSet([...reported, ...findings.map(({ path }) => path)]);
  const errors = [
    ...findings.filter(({ path }) => !unread.isRelated(path)),
    ...checkConfig(value, lists).filter(({ path }) => !wrong.isRelated(path)),
  ];
  if (parsed === null || errors.length > 0) return { config: null, errors, warnings: [] };
  const config = resolveConfig(parsed, directory, lists);
  resolved.add(config);
  return { config, errors, warnings: adviseOn(config) };
}

/** It has been through here. */
export function isResolved(value: unknown): value is Config {
  return typeof value === "object" && value !== null && resolved.has(value);
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}

/** Each once, as several pools may name one file; the configuration first, and each file from its top. */
function inOrder(problems: readonly Problem[], first: string | null): Problem[] {
  const files = new Set([first, ...problems.map(({ file }) => file)]);
  const ranks = new Map([...files].map((file, rank) => [file, rank]));
  const rankOf = ({ file }: Problem): number => ranks.get(file) ?? 0;
  const once = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  return [...once.values()].toSorted(
    (a, b) => rankOf(a) - rankOf(b) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  );
}

function unplaced({ path, message }: Finding): Problem {
  return { file: null, line: null, column: null, path: formatPath(path), message };
}
