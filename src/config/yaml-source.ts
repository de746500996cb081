// A YAML text as plain data, with the place of every key and value, `${…}` filled in, and a clear word
// about the traps that YAML sets. Knows nothing of what the keys mean.

import { LineCounter, parseDocument } from "yaml";
import { type Finding, formatPath, type KeyPath, type Problem } from "./problems.ts";
import type { SubstitutionSource } from "./substitute.ts";
import { NodeReader } from "./yaml-reader.ts";
import { explainSyntaxErrors } from "./yaml-traps.ts";

export interface YamlSource {
  readonly file: string;
  readonly text: string;
  readonly substitution: SubstitutionSource;
  /** What to say of a text without content. */
  readonly whenEmpty: string;
}

export interface YamlResult {
  /** Undefined stands where a value could not be read; `errors` says why. */
  readonly value: unknown;
  readonly errors: readonly Problem[];
  /** The keys that `errors` are about: what else could be said of these would be noise. */
  readonly reported: readonly KeyPath[];
  /** False where the syntax is so broken, or the text so long, that a look at the keys makes no sense. */
  readonly isReadable: boolean;
  readonly locate: (finding: Finding) => Problem;
}

export function readYaml({ file, text, substitution, whenEmpty }: YamlSource): YamlResult {
  const lines = new LineCounter();
  // Duplicate keys are found by the reader, which knows their path.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const isWellFormed = document.errors.length === 0;
  const reader = new NodeReader(document, text, substitution);
  const value = reader.readDocument(whenEmpty);

  function problemAt(offset: number, path: KeyPath, message: string): Problem {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col, path: formatPath(path), message };
  }
  const syntax = explainSyntaxErrors([...document.errors, ...document.warnings], text, lines)
    .filter(({ isExplained }, index) => isExplained || index === 0)
    .map(({ offset, message }) => problemAt(offset, [], message));
  const found = reader.findings
    // Where brackets do not match, what looks empty or doubled need not be.
    .filter(({ isCertain }) => isWellFormed || isCertain)
    .map(({ offset, path, message }) => problemAt(offset, path, message));
  return {
    value,
    errors: firstOfEachLine(syntax, found),
    reported: reader.findings.map(({ path }) => path),
    isReadable: isWellFormed && reader.isComplete,
    locate(finding) {
      const { offset, path } = reader.placeOf(finding);
      return problemAt(offset, path, finding.message);
    },
  };
}

/** One cause makes the parser stumble several times on its line; the first time names it. */
function firstOfEachLine(syntax: readonly Problem[], found: readonly Problem[]): Problem[] {
  const firsts = new Map<number | null, Problem>();
  for (const problem of syntax) if (!firsts.has(problem.line)) firsts.set(problem.line, problem);
  return [...firsts.values(), ...found.filter(({ line }) => !firsts.has(line))];
}
