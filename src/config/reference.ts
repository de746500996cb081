// The Markdown reference of every key, written from the schema. README.md holds it between two markers;
// a test proves that it is fresh.

import { itemsOf, type JsonSchema, type KeyEntry, keyEntries } from "./schema-tree.ts";

const REFERENCE_BEGIN = "<!-- reference:begin -->";
const REFERENCE_END = "<!-- reference:end -->";

/** The text of a README with its reference replaced by a fresh one. */
export function withReference(readme: string): string {
  const begin = readme.indexOf(REFERENCE_BEGIN);
  const end = readme.indexOf(REFERENCE_END);
  if (begin < 0 || end < begin) throw new Error(`no ${REFERENCE_BEGIN} … ${REFERENCE_END} in the text`);
  return `${readme.slice(0, begin + REFERENCE_BEGIN.length)}\n${referenceMarkdown()}\n${readme.slice(end)}`;
}

/** A table of the sections, then one for each section. */
export function referenceMarkdown(): string {
  const entries = keyEntries();
  const top = entries.filter(({ path }) => !/[.[]/.test(path));
  const sections = top.flatMap(({ path: section }) => {
    const below = entries.filter(
      ({ path }) => path.startsWith(`${section}.`) || path.startsWith(`${section}[`),
    );
    return below.length === 0 ? [] : [`### \`${section}\`\n\n${table(below)}`];
  });
  // The formatter would pad the tables to the width of their longest row.
  return ["<!-- prettier-ignore-start -->", table(top), ...sections, "<!-- prettier-ignore-end -->"].join(
    "\n\n",
  );
}

function table(entries: readonly KeyEntry[]): string {
  const rows = entries.map((entry) => {
    const cells = [
      `\`${entry.path}\``,
      typeText(entry.schema),
      defaultText(entry),
      entry.schema.description ?? "",
    ];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return ["| key | value | default | meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function typeText(schema: JsonSchema): string {
  if (schema.title !== undefined) return schema.title;
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map((one) => typeText(one)))].join(" | ");
  const items = itemsOf(schema);
  if (items !== undefined) return `list of ${typeText(items)}`;
  const values = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  if (values !== undefined) return values.map(String).join(" | ");
  if (schema.type === "object") return "mapping";
  return schema.type === "string" ? "text" : String(schema.type);
}

function defaultText({ schema, isRequired }: KeyEntry): string {
  if (isRequired) return "required";
  const value = schema.default;
  if (value === undefined) return "–";
  // An empty mapping stands for the defaults of its own keys.
  if (typeof value === "object" && value !== null && Object.keys(value).length === 0 && !Array.isArray(value))
    return "below";
  return `\`${flowText(value)}\``;
}

/** As YAML would write it on one line. */
function flowText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => flowText(item)).join(", ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([key, item]) => `${key}: ${flowText(item)}`)
    .join(", ")} }`;
}
