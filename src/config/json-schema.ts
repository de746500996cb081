// The JSON Schema of the configuration, for editors: `weir schema`.

import { type JsonSchema, schemaTree } from "./schema-tree.ts";

/** Matches a string that is filled in from the environment or a file, whatever its key expects. */
const REFERENCE = String.raw`\$\{`;

/** As zod exports it, but with `${…}` allowed wherever text is. */
export function jsonSchema(): JsonSchema {
  const { $schema, ...rest } = schemaTree();
  return { ...($schema && { $schema }), title: "Weir configuration", ...withReferences(rest) };
}

function withReferences(schema: JsonSchema): JsonSchema {
  const { enum: values, const: only, ...rest } = mapChildren(schema);
  if (typeof rest.pattern === "string") return { ...rest, pattern: `(?:${rest.pattern})|${REFERENCE}` };
  const choice = values ?? (only === undefined ? undefined : [only]);
  if (choice === undefined || !choice.some((value) => typeof value === "string"))
    return schemaWith(rest, values, only);
  const { type: _type, ...annotations } = rest;
  return { ...annotations, anyOf: [{ enum: choice }, { type: "string", pattern: REFERENCE }] };
}

function schemaWith(rest: JsonSchema, values: JsonSchema["enum"], only: JsonSchema["const"]): JsonSchema {
  return { ...rest, ...(values && { enum: values }), ...(only !== undefined && { const: only }) };
}

/** Names of keys are no place for `${…}`, so `propertyNames` stays as it is. */
function mapChildren(schema: JsonSchema): JsonSchema {
  const { anyOf, properties, items, additionalProperties } = schema;
  const mapped: JsonSchema = { ...schema };
  if (anyOf !== undefined) mapped.anyOf = anyOf.map((one) => withReferences(one));
  if (properties !== undefined) mapped.properties = mapRecord(properties);
  if (isSchema(items)) mapped.items = withReferences(items);
  if (isSchema(additionalProperties)) mapped.additionalProperties = withReferences(additionalProperties);
  return mapped;
}

function mapRecord(record: NonNullable<JsonSchema["properties"]>): NonNullable<JsonSchema["properties"]> {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [key, isSchema(value) ? withReferences(value) : value]),
  );
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
