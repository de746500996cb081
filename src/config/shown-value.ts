// A value of the configuration as it would stand in the file, for people to read. Text is shown only where
// the schema says what may stand there: all other text may be a secret, be it a token or a header.

import type { KeyPath } from "./problems.ts";
import { entriesOf } from "./raw.ts";
import { type JsonSchema, schemasAt } from "./schema-tree.ts";
import { formatByteRate, formatDuration, formatPercent, formatRate, formatSize } from "./units.ts";

/** What stands in place of text that is not shown. */
export const HIDDEN = "…";

const MAX_LENGTH = 200;

const FORMATS: Readonly<Record<string, (value: number) => string>> = {
  duration: formatDuration,
  size: formatSize,
  rate: formatRate,
  "bytes per second": formatByteRate,
  percentage: formatPercent,
};

/** Titles of text that holds no secret; a URL that Weir itself calls often does. */
const SHOWN_TITLES = new Set([
  "address",
  "CIDR, address, loopback or private",
  "file",
  "header name",
  "host name",
  "host pattern",
  "IP address",
  "name",
  "origin or self",
  "path",
  "subprotocol",
  "ws, wss or unix URL",
]);

/** @param path the key's, with 0 for any item of a list */
export function showValue(value: unknown, path: KeyPath): string {
  const text = textOf(value, path);
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 1)}${HIDDEN}` : text;
}

/** What follows from other keys has no key of its own; its value is no news. */
export function isKey(path: KeyPath): boolean {
  return schemasAt(path).length > 0;
}

function textOf(value: unknown, path: KeyPath): string {
  if (value === null) return "off";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "number") return numberText(value, schemasAt(path));
  if (typeof value === "string")
    return schemasAt(path).some((schema) => isShown(value, schema)) ? value : HIDDEN;
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, [...path, 0])).join(", ")}]`;
  const entries = entriesOf(value).filter(([key]) => isKey([...path, key]));
  if (entries.length === 0) return HIDDEN;
  return `{ ${entries.map(([key, item]) => `${key}: ${textOf(item, [...path, key])}`).join(", ")} }`;
}

function numberText(value: number, schemas: readonly JsonSchema[]): string {
  const format = schemas.map(({ title }) => FORMATS[title ?? ""]).find((one) => one !== undefined);
  return format?.(value) ?? String(value);
}

function isShown(text: string, schema: JsonSchema): boolean {
  const choice = schema.enum ?? [schema.const];
  return choice.includes(text) || SHOWN_TITLES.has(schema.title ?? "");
}
