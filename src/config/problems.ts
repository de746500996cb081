// What is wrong with a configuration, and where: one line per problem, as editors and people read it.

/** A key's place in the configuration. */
export type KeyPath = readonly (string | number)[];

export interface Problem {
  /** As the caller named it; null for a configuration that came as an object. */
  readonly file: string | null;
  /** From 1; null for a configuration that came as an object. */
  readonly line: number | null;
  /** From 1. */
  readonly column: number | null;
  /** `path.to.key`; empty for the configuration as a whole. */
  readonly path: string;
  readonly message: string;
}

/** A problem whose place in the file is still to be found. */
export interface Finding {
  readonly path: KeyPath;
  readonly message: string;
  /** Where the file shows it: the value (default), or the key that is unknown or misplaced. */
  readonly at?: "key" | "value";
}

/** What would break a line, or make a terminal show another one: keys and values may hold anything. */
const BREAKING = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** `FILE:LINE:COL: path.to.key: what is wrong`, with `warning: ` before the path of a warning. One line. */
export function formatProblem(problem: Problem, severity: "error" | "warning" = "error"): string {
  const { file, line, column, path, message } = problem;
  const place = line === null ? file : `${file}:${line}:${column}`;
  const parts = [place, severity === "warning" ? "warning" : "", path, message];
  return parts
    .filter((part) => part !== null && part !== "")
    .join(": ")
    .replaceAll(BREAKING, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** `routes[0].match.host`, `tiers["a.b"]`. */
export function formatPath(path: KeyPath): string {
  return path
    .map((key) => {
      if (typeof key === "number") return `[${key}]`;
      return /^[\w-]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    })
    .join("")
    .replace(/^\./, "");
}

/** Names that a message lists at most. */
const MAX_LISTED = 17;

/** The first of many names. */
export function listed(names: readonly string[]): string {
  return names.length > MAX_LISTED ? `${names.slice(0, MAX_LISTED).join(", ")} …` : names.join(", ");
}

/** Lines that one event logs at most. */
const MAX_LINES = 20;

/** The first of many lines, and how many more there are. */
export function shortened(lines: readonly string[]): readonly string[] {
  const surplus = lines.length - MAX_LINES;
  return surplus > 0 ? [...lines.slice(0, MAX_LINES), `and ${surplus} more`] : lines;
}
