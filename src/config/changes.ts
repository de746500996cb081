// What differs between two configurations, in words for the log and the admin API, and what of it a reload
// has to think twice about.

import { isDeepStrictEqual } from "node:util";
import { formatPath, type KeyPath, shortened } from "./problems.ts";
import { entriesOf, field } from "./raw.ts";
import type { Config } from "./schema.ts";
import { HIDDEN, isKey, showValue } from "./shown-value.ts";

export interface Comparison {
  readonly changes: readonly Change[];
  readonly removals: readonly Removal[];
  /** Paths of keys that differ although they cannot change while Weir runs. */
  readonly fixedKeys: readonly string[];
}

/** One key, or one list of things that came or went. Holds no secret. */
export interface Change {
  /** `tiers.guest.messages.rate`, `pools.chat.backends`. */
  readonly path: string;
  /** `2/s → 5/s`, `server3 added, server1 removed`. */
  readonly what: string;
}

/** What one pool would lose. */
export interface Removal {
  readonly pool: string;
  /** Backends that are not in it any more. */
  readonly removed: number;
  /** Backends that it had. */
  readonly of: number;
}

/** Names that one change lists at most. */
const MAX_NAMES = 10;

export function compareConfigs(before: Config, after: Config): Comparison {
  return {
    changes: changesBetween(before, after),
    removals: removalsBetween(before, after),
    fixedKeys: fixedKeysBetween(before, after),
  };
}

export function changesBetween(before: Config, after: Config): Change[] {
  return [...compare({ path: [], schemaPath: [] }, before, after)];
}

/** `path: what`, as many as a log line bears. */
export function changeLines(changes: readonly Change[]): readonly string[] {
  return shortened(changes.map(({ path, what }) => `${path}: ${what}`));
}

/** Pools that lose backends; one that is gone loses all. */
function removalsBetween(before: Config, after: Config): Removal[] {
  return Object.entries(before.pools).flatMap(([pool, { backends }]) => {
    const kept = new Set(after.pools[pool]?.backends.map(({ id }) => id));
    const removed = backends.filter(({ id }) => !kept.has(id)).length;
    return removed === 0 ? [] : [{ pool, removed, of: backends.length }];
  });
}

/** What threads and sockets were made with. */
export function fixedKeysBetween(before: Config, after: Config): string[] {
  const isCountSame = before.listeners.length === after.listeners.length;
  const binds = before.listeners.flatMap(({ bind }, index) =>
    isDeepStrictEqual(bind, after.listeners[index]?.bind) ? [] : [`listeners[${index}].bind`],
  );
  return [
    ...(isCountSame ? binds : ["listeners"]),
    ...(before.threads === after.threads ? [] : ["threads"]),
    ...(isDeepStrictEqual(before.admin?.bind, after.admin?.bind) ? [] : ["admin.bind"]),
  ];
}

/** The keys of a configuration that `fixedKeysBetween` may name. */
export function fixedKeysOf({ listeners }: Config): KeyPath[] {
  const binds = listeners.map((_, index) => ["listeners", index, "bind"]);
  return [["listeners"], ...binds, ["threads"], ["admin", "bind"]];
}

interface Place {
  readonly path: KeyPath;
  /** The same for the schema, which knows the items of a list by 0. */
  readonly schemaPath: KeyPath;
}

function* compare(place: Place, before: unknown, after: unknown): Generator<Change> {
  if (isDeepStrictEqual(before, after)) return;
  const found = [...parts(place, before, after)];
  if (found.length > 0) yield* found;
  else yield changeOf(place, before, after);
}

/** The changes within a mapping or a list; none where it has to be taken as a whole. */
function* parts(place: Place, before: unknown, after: unknown): Generator<Change> {
  if (Array.isArray(before) && Array.isArray(after)) {
    yield* partsOfList(place, before, after);
    return;
  }
  if (!isThere(before) || !isThere(after)) return;
  for (const key of new Set([...entriesOf(before), ...entriesOf(after)].map(([key]) => key))) {
    const [old, young] = [field(before, key), field(after, key)];
    if (isDeepStrictEqual(old, young)) continue;
    const inner = { path: [...place.path, key], schemaPath: [...place.schemaPath, key] };
    // What has no key follows from what has one.
    if (isKey(inner.schemaPath)) yield* compare(inner, old, young);
  }
}

/** Not off, and not a name that only the other configuration has. */
function isThere(value: unknown): boolean {
  return value !== null && value !== undefined;
}

function* partsOfList(
  place: Place,
  before: readonly unknown[],
  after: readonly unknown[],
): Generator<Change> {
  const old = byName(before, place);
  const young = byName(after, place);
  if (old === null || young === null) {
    if (before.length !== after.length) return;
    for (const [index, item] of before.entries()) yield* compare(itemOf(place, index), item, after[index]);
    return;
  }
  const kept = [...old.keys()].filter((name) => young.has(name));
  const keptNow = [...young.keys()].filter((name) => old.has(name));
  const news = [
    ...listed(keysWithout(young, old), "added"),
    ...listed(keysWithout(old, young), "removed"),
    ...(isDeepStrictEqual(kept, keptNow) ? [] : ["order changed"]),
  ];
  if (news.length > 0) yield { path: formatPath(place.path), what: news.join(", ") };
  for (const name of kept) yield* compare(itemOf(place, name), old.get(name), young.get(name));
}

/** Null where an item has no name, or the same as another. */
function byName(items: readonly unknown[], place: Place): Map<string, unknown> | null {
  const named = new Map<string, unknown>();
  for (const item of items) {
    const isMapping = typeof item === "object" && item !== null;
    const name = isMapping ? field(item, "id") : showValue(item, itemOf(place, 0).schemaPath);
    if (typeof name !== "string" || name === HIDDEN) return null;
    named.set(name, item);
  }
  return named.size === items.length ? named : null;
}

function itemOf({ path, schemaPath }: Place, item: string | number): Place {
  return { path: [...path, item], schemaPath: [...schemaPath, 0] };
}

function keysWithout(these: ReadonlyMap<string, unknown>, those: ReadonlyMap<string, unknown>): string[] {
  return [...these.keys()].filter((key) => !those.has(key));
}

/** Nothing for no names. */
function listed(names: readonly string[], verb: string): string[] {
  if (names.length === 0) return [];
  const surplus = names.length - MAX_NAMES;
  const all = names.slice(0, MAX_NAMES).join(", ");
  return [`${all}${surplus > 0 ? ` and ${surplus} more` : ""} ${verb}`];
}

function changeOf({ path, schemaPath }: Place, before: unknown, after: unknown): Change {
  return { path: formatPath(path), what: describe(schemaPath, before, after) };
}

function describe(schemaPath: KeyPath, before: unknown, after: unknown): string {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  const [from, to] = [showValue(before, schemaPath), showValue(after, schemaPath)];
  return from === to || from === HIDDEN ? "changed" : `${from} → ${to}`;
}
