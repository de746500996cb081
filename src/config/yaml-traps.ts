// What YAML's syntax errors mean for someone who writes a Weir configuration. Most of them come from a
// value that should have been in quotes.

import type { ErrorCode, LineCounter, YAMLError } from "yaml";

/** A syntax error, explained; `offset` is where the cause is, which may be before the parser's stumble. */
export interface SyntaxFinding {
  readonly offset: number;
  readonly message: string;
  /** False for the parser's own words, which after another error are most likely its echo. */
  readonly isExplained: boolean;
}

/**
 * Values that the parser takes apart unless they are quoted. What may stand before the trap itself is looked
 * at from its beginning only: from each of its characters, a long line would cost the square of its length.
 */
const UNQUOTED_TRAPS: readonly { readonly pattern: RegExp; readonly explain: (found: string) => string }[] = [
  { pattern: /(?<![^\s,[{])[^\s,[{]*\$\{[^}]*\}?[^\s,\]}]*/, explain: explainReference },
  {
    pattern: /(?:(?<![a-z+])[a-z+]+)?:?(?:(?<!\/)\/+)?\[(?=[0-9a-f.]*:)[0-9a-f:.]*\](:\d*)?[^\s,\]}]*/i,
    explain: explainBrackets,
  },
];

/** An unquoted `${…}`: inside [ ] or { } it would be a mapping, so it is refused everywhere. */
export function explainReference(found: string): string {
  return `a value with \${ must be in quotes, since { begins a mapping in YAML: quote it, ${JSON.stringify(found)}`;
}

/** An unquoted `[::1]:80`. */
export function explainBrackets(found: string): string {
  return `[ begins a list in YAML: quote it, ${JSON.stringify(found)}`;
}

/** An unquoted `{{retryAfterMs}}`, which may be anywhere in the text that it belongs to. */
export function explainBraces(): string {
  return "{ begins a mapping in YAML: quote the whole text";
}

/** An unquoted `*.example.com`. */
export function explainAlias(found: string): string {
  return `* begins an alias in YAML: quote it, ${JSON.stringify(found)}`;
}

/** Errors that say enough by their code and the character they are at. */
const WORDS: Partial<Record<ErrorCode, (at: string) => string>> = {
  TAB_AS_INDENT: () => "a tab cannot indent YAML: use spaces",
  MULTIPLE_DOCS: () => "a second YAML document begins here (---); a configuration is one",
  BLOCK_AS_IMPLICIT_KEY: () => 'an unquoted value cannot hold ": ": quote it',
  RESOURCE_EXHAUSTION: () => "what begins here is nested too deeply",
  BAD_SCALAR_START: (at) => `an unquoted value cannot begin with ${at}: quote it`,
};

/** The parser's errors in words that name the causes. */
export function explainSyntaxErrors(
  errors: readonly YAMLError[],
  text: string,
  lines: LineCounter,
): SyntaxFinding[] {
  // All errors of a line stumble over the same trap, and a line may be the whole text.
  const traps = new Map<number, SyntaxFinding | null>();
  function trapOf(offset: number): SyntaxFinding | null {
    const { line } = lines.linePos(offset);
    const trap = traps.get(line) ?? (traps.has(line) ? null : findTrap(text, offset));
    traps.set(line, trap);
    return trap;
  }
  return errors.map((error) => explainByCode(error, text) ?? trapOf(error.pos[0]) ?? inParserWords(error));
}

function explainByCode({ code, pos: [offset] }: YAMLError, text: string): SyntaxFinding | null {
  const message = WORDS[code]?.(text.charAt(offset));
  return message === undefined ? null : { offset, message, isExplained: true };
}

function inParserWords({ message, pos: [offset] }: YAMLError): SyntaxFinding {
  const words = `not YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  return { offset, message: words, isExplained: false };
}

/** The parser stumbles behind the cause, on the same line. */
function findTrap(text: string, offset: number): SyntaxFinding | null {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  const line = blankQuoted(text.slice(start, end < 0 ? text.length : end));
  for (const { pattern, explain } of UNQUOTED_TRAPS) {
    const match = pattern.exec(line);
    if (match !== null) return { offset: start + match.index, message: explain(match[0]), isExplained: true };
  }
  return null;
}

/** The line with the inside of quotes and comments blanked, so that only what the parser saw bare is left. */
function blankQuoted(line: string): string {
  return line.replaceAll(/"(?:\\.|[^"\\])*"|'[^']*'|(^|\s)#.*/g, (quoted) => " ".repeat(quoted.length));
}
