// Runs the schema over a raw configuration and turns what zod says into findings that a person can act on.

import type { z } from "zod";
import { type Finding, type KeyPath, listed } from "./problems.ts";
import { configSchema, type ParsedConfig } from "./schema.ts";
import { keyEntries, keysAt } from "./schema-tree.ts";
import { didYouMean, nearestWord } from "./suggest.ts";
import { describeValue } from "./units.ts";

/** What people write who have not read that `off` is the word. */
const WORDS_FOR_OFF = new Set(["no", "none", "never", "null", "nil", "disabled", "unlimited", "false", "of"]);

type Issue = z.core.$ZodIssue;

/** The parsed configuration, or everything that its schema has against it. */
export type Validated =
  | { readonly parsed: ParsedConfig; readonly findings: readonly [] }
  | { readonly parsed: null; readonly findings: readonly Finding[] };

export function validate(raw: unknown): Validated {
  const result = parse(raw);
  if (result instanceof TypeError) {
    const message = `has a value that a configuration cannot have: ${result.message}`;
    return { parsed: null, findings: [{ path: [], message }] };
  }
  if (result.success) return { parsed: result.data, findings: [] };
  return { parsed: null, findings: result.error.issues.flatMap((issue) => toFindings(issue, [])) };
}

/** A library's user can hand over what no text can say, and what throws where it is looked at. */
function parse(raw: unknown): ReturnType<typeof configSchema.safeParse> | TypeError {
  try {
    return configSchema.safeParse(raw, { error: describeIssue, reportInput: true });
  } catch (error) {
    if (error instanceof TypeError) return error;
    throw error;
  }
}

/** The words for issues whose schema has none of its own. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "invalid_type")
    return `${describeValue(issue.input)} is not ${describeExpected(issue.expected)}`;
  if (issue.code === "invalid_value") return describeChoice(issue.input, issue.values);
  return undefined;
}

function describeExpected(expected: string): string {
  if (expected === "object" || expected === "record") return "a mapping";
  return expected === "array" ? "a list" : expected === "string" ? "text" : `a ${expected}`;
}

function describeChoice(input: unknown, values: readonly unknown[]): string {
  const words = values.map(String);
  const choice = words.length === 1 ? words.join("") : `one of ${words.join(", ")}`;
  const suggestion = typeof input === "string" ? didYouMean(input, words) : "";
  return `${describeValue(input)} is not ${choice}${suggestion}`;
}

function toFindings(issue: Issue, prefix: KeyPath): Finding[] {
  const path = [...prefix, ...issue.path.map((key) => (typeof key === "number" ? key : String(key)))];
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(path);
    return issue.keys.map((key) => ({
      path: [...path, key],
      at: "key",
      message: describeUnknownKey(key, known),
    }));
  }
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => ({ path, at: "key", message }));
  if (issue.code === "invalid_union") return unionFindings(issue, path);
  return [{ path, message: isMissing(issue) ? "is required" : issue.message + knownKeys(issue, path) }];
}

/** What a mapping that is none could hold. */
function knownKeys(issue: Issue, path: KeyPath): string {
  const isMappingExpected = issue.code === "invalid_type" && issue.expected === "object";
  return isMappingExpected ? ` with ${listed(keysAt(path))}` : "";
}

/** Only zod's own look at a type sees nothing at all; the schema's words would call it "nothing". */
function isMissing(issue: Issue): boolean {
  const isLookAtType =
    issue.code === "invalid_type" || issue.code === "invalid_value" || issue.code === "invalid_union";
  return isLookAtType && issue.input === undefined;
}

/**
 * A value that fits none of several forms: the errors of the form that was meant, where that is clear,
 * else what all of them expect.
 */
function unionFindings(issue: z.core.$ZodIssueInvalidUnion, path: KeyPath): Finding[] {
  if (isMissing(issue)) return [{ path, message: "is required" }];
  const meant = issue.errors.filter((issues) => !issues.some(isOtherType));
  const [branch] = meant.length > 1 ? meant.filter((issues) => !issues.some(isUnknownKey)) : meant;
  const [off] = issue.errors;
  const isOffAllowed =
    off?.some(({ code, path }) => code === "invalid_value" && path.length === 0) && includesOff(off);
  if (!isOffAllowed) {
    return branch?.flatMap((inner) => toFindings(inner, path)) ?? [{ path, message: issue.message }];
  }
  const findings = (branch ?? issue.errors.at(-1) ?? []).flatMap((inner) => toFindings(inner, path));
  const isMeantAsOff = typeof issue.input === "string" && WORDS_FOR_OFF.has(issue.input.toLowerCase());
  const choice = isMeantAsOff ? "; the word for none is off" : ", or off";
  return findings.map((finding) =>
    finding.path.length === path.length ? withSuffix(finding, choice) : finding,
  );
}

function withSuffix({ path, message }: Finding, suffix: string): Finding {
  return { path, message: message + suffix };
}

function includesOff(issues: readonly Issue[]): boolean {
  return issues.some((issue) => issue.code === "invalid_value" && issue.values.includes("off"));
}

/** The branch takes another kind of value altogether. */
function isOtherType(issue: Issue): boolean {
  const isAboutWhole = issue.path.length === 0;
  return isAboutWhole && ["invalid_type", "invalid_value", "invalid_union"].includes(issue.code);
}

function isUnknownKey(issue: Issue): boolean {
  return issue.code === "unrecognized_keys";
}

/** @param known the keys that may stand where it stands */
function describeUnknownKey(key: string, known: readonly string[]): string {
  const nearest = nearestWord(key, known);
  if (nearest !== null) return `unknown key (did you mean ${nearest}?)`;
  const elsewhere = keyEntries().find((entry) => entry.path.endsWith(`.${key}`));
  if (elsewhere !== undefined) return `unknown key here; did you mean ${elsewhere.path}?`;
  return `unknown key; known here: ${listed(known)}`;
}
