// The `backendsFile` of each pool: read, and its list put behind the pool's own `backends`, so that one
// schema and one set of checks sees them all. Knows which entry stands in which file.

import { dirname, isAbsolute, join, resolve } from "node:path";
import type { Finding, KeyPath, Problem } from "./problems.ts";
import { entriesOf, field } from "./raw.ts";
import { reasonOf, type SourceFiles } from "./source-files.ts";
import type { SubstitutionSource } from "./substitute.ts";
import { describeValue } from "./units.ts";
import { readYaml, type YamlResult } from "./yaml-source.ts";

/** Where a list that came from a file begins in the `backends` of its pool, by the pool's name. */
export type BackendsLists = ReadonlyMap<string, BackendsList>;

interface BackendsList {
  /** The index of its first backend. */
  readonly start: number;
  /** What relative paths in it are relative to; absolute. */
  readonly directory: string;
}

export interface IncludeSource {
  /** The configuration as plain data. */
  readonly value: unknown;
  /** What a relative `backendsFile` is relative to; problems name the file by it. */
  readonly directory: string;
  readonly env: SubstitutionSource["env"];
  readonly files: SourceFiles;
}

/** The configuration with the lists in it, and everything that is wrong about the files. */
export interface Included {
  readonly value: unknown;
  readonly lists: BackendsLists;
  /** At keys of the configuration. */
  readonly findings: readonly Finding[];
  /** In the files. */
  readonly errors: readonly Problem[];
  /** The paths in `value` that `errors` are about. */
  readonly reported: readonly KeyPath[];
  /** The place of what stands in one of the files; null for all else. */
  readonly locate: (finding: Finding) => Problem | null;
}

/** Reads every file that a pool names; one that is no list leaves its pool as it is, with an error. */
export function includeBackends(source: IncludeSource): Included {
  const findings: Finding[] = [];
  const errors: Problem[] = [];
  const reported: KeyPath[] = [];
  const lists = new Map<string, BackendsList & { readonly yaml: YamlResult }>();
  const pools = entriesOf(field(source.value, "pools")).map(([name, pool]): [string, unknown] => {
    const file = fileOf(pool, source.directory);
    const own = field(pool, "backends") ?? [];
    if (file === null || !Array.isArray(own)) return [name, pool];
    const text = readText(file, source.files);
    if (typeof text !== "string") {
      findings.push({ path: ["pools", name, "backendsFile"], message: text.failure });
      return [name, pool];
    }
    const yaml = readList(file, text, source);
    // One by one: a call takes only so many arguments.
    for (const error of yaml.errors) errors.push(error);
    const list = yaml.isReadable ? yaml.value : undefined;
    if (Array.isArray(list)) {
      const start = own.length;
      lists.set(name, { start, directory: dirname(resolve(file)), yaml });
      for (const path of yaml.reported) reported.push(inPool(name, start, path));
      return [name, { ...(pool as object), backends: [...(own as unknown[]), ...(list as unknown[])] }];
    }
    const message = `${describeValue(list)} is not a list of backends like ["ws://host:port"]`;
    if (list !== undefined) errors.push(yaml.locate({ path: [], message }));
    return [name, pool];
  });
  return {
    value:
      lists.size === 0 ? source.value : { ...(source.value as object), pools: Object.fromEntries(pools) },
    lists,
    findings,
    errors,
    reported,
    locate({ path: [section, name, key, index, ...rest], message, at }) {
      const isOfBackend = section === "pools" && key === "backends" && typeof index === "number";
      const list = isOfBackend ? lists.get(String(name)) : undefined;
      if (list === undefined || Number(index) < list.start) return null;
      return list.yaml.locate({ path: [Number(index) - list.start, ...rest], message, ...(at && { at }) });
    },
  };
}

/** As problems name it. What is no path is for the schema to refuse. */
function fileOf(pool: unknown, directory: string): string | null {
  const written = field(pool, "backendsFile");
  if (typeof written !== "string" || written === "off" || /^$|\p{Cc}/u.test(written)) return null;
  return isAbsolute(written) ? written : join(directory, written);
}

/** The text, or why there is none. */
function readText(file: string, files: SourceFiles): string | { readonly failure: string } {
  try {
    return files.read(resolve(file));
  } catch (error) {
    return { failure: `${file} cannot be read: ${reasonOf(error)}` };
  }
}

function readList(file: string, text: string, { env, files }: IncludeSource): YamlResult {
  const directory = dirname(resolve(file));
  const substitution = { env, readFile: (path: string) => files.read(resolve(directory, path)) };
  return readYaml({ file, text, substitution, whenEmpty: "is empty: write [] for a list without backends" });
}

function inPool(name: string, start: number, [index, ...rest]: KeyPath): KeyPath {
  return ["pools", name, "backends", start + Number(index), ...rest];
}
