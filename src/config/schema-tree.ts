// The schema as a list of keys: what error messages, warnings and the reference know about each.

import { z } from "zod";
import type { KeyPath } from "./problems.ts";
import { configSchema } from "./schema.ts";

export type JsonSchema = z.core.JSONSchema.BaseSchema;

export interface KeyEntry {
  /** `pools.*.backends[].url`: `*` stands for a name, `[]` for an item of a list. */
  readonly path: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

let built: JsonSchema | undefined;

/** The input side of the configuration, before json-schema.ts makes it fit for editors. */
export function schemaTree(): JsonSchema {
  built ??= z.toJSONSchema(configSchema, { io: "input" });
  return built;
}

let entries: readonly KeyEntry[] | undefined;

/** Every key, in the order of the schema. */
export function keyEntries(): readonly KeyEntry[] {
  entries ??= [...entriesBelow(schemaTree(), "")];
  return entries;
}

/** The keys that a mapping may have; empty where any name may stand. */
export function keysAt(path: KeyPath): string[] {
  return schemasAt(path).flatMap((node) => Object.keys(node.properties ?? {}).concat(closedNames(node)));
}

/** What the value of a key may be, one of several; empty for a key that the file does not have. */
export function schemasAt(path: KeyPath): JsonSchema[] {
  let nodes = alternatives(schemaTree());
  for (const key of path) nodes = nodes.flatMap((node) => alternatives(childOf(node, key)));
  return nodes;
}

/** The names that a mapping of names is limited to, where it is. */
function closedNames({ propertyNames }: JsonSchema): string[] {
  return typeof propertyNames === "object" ? (propertyNames.enum ?? []).map(String) : [];
}

/** The schema itself, or what it may be one of. */
function alternatives(schema: JsonSchema | undefined): JsonSchema[] {
  if (schema === undefined) return [];
  if (schema.anyOf === undefined) return [schema];
  return schema.anyOf.flatMap((one) => alternatives(one));
}

/** The schema of the items of a list. */
export function itemsOf(schema: JsonSchema): JsonSchema | undefined {
  const { items } = schema;
  return typeof items === "object" && !Array.isArray(items) ? items : undefined;
}

/** The schema of a mapping's values where any name may stand. */
function namedValues(schema: JsonSchema): JsonSchema | undefined {
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
}

function childOf(schema: JsonSchema, key: string | number): JsonSchema | undefined {
  if (typeof key === "number") return itemsOf(schema);
  const own = Object.hasOwn(schema.properties ?? {}, key) ? schema.properties?.[key] : undefined;
  return typeof own === "object" ? own : namedValues(schema);
}

function* entriesBelow(schema: JsonSchema, path: string): Generator<KeyEntry> {
  const nodes = alternatives(schema);
  const mappings = nodes.filter(({ properties }) => properties !== undefined);
  for (const node of nodes) {
    for (const [key, property] of Object.entries(node.properties ?? {})) {
      if (typeof property !== "object") continue;
      const keyPath = path === "" ? key : `${path}.${key}`;
      // Where several mappings are possible, a key of one of them can be left out for another.
      const isRequired = mappings.every(({ required }) => required?.includes(key));
      yield { path: keyPath, schema: property, isRequired };
      yield* entriesBelow(property, keyPath);
    }
    const items = itemsOf(node);
    if (items !== undefined) yield* entriesBelow(items, `${path}[]`);
    const named = namedValues(node);
    if (named !== undefined) yield* entriesBelow(named, `${path}.*`);
  }
}
