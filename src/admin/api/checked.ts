// What a request says, held against a schema: the value, or a 400 that tells in one line what is wrong with it.

import type { z } from "zod";
import { describeValue } from "../../config/units.ts";
import { ApiError } from "./endpoint.ts";

const KINDS: Readonly<Record<string, string>> = {
  object: "an object",
  array: "a list",
  string: "text",
  int: "a whole number",
};

/** Throws ApiError (400). */
export function checked<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value, { error: describeIssue, reportInput: true });
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  throw new ApiError(400, "bad_request", problems.join("; "));
}

/** In the words of JSON; undefined for what no schema here has. */
function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "invalid_type") return describeKind(issue);
  if (issue.code === "invalid_value") {
    return `${describeValue(issue.input)} is not one of ${issue.values.join(", ")}`;
  }
  if (issue.code === "too_small") {
    return issue.origin === "string" ? "is empty" : `${describeValue(issue.input)} is below ${issue.minimum}`;
  }
  if (issue.code === "too_big") return describeTooBig(issue);
  return issue.code === "unrecognized_keys" ? `unknown key ${issue.keys.join(", ")}` : undefined;
}

function describeKind({
  input,
  expected,
  path = [],
}: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  if (input === undefined && path.length > 0) return "is required";
  return `${describeValue(input)} is not ${KINDS[expected] ?? `a ${expected}`}`;
}

function describeTooBig({ origin, input, maximum }: z.core.$ZodRawIssue<z.core.$ZodIssueTooBig>): string {
  if (origin === "string") return `has more than ${maximum} characters`;
  return origin === "array" ? `has more than ${maximum}` : `${describeValue(input)} is above ${maximum}`;
}
