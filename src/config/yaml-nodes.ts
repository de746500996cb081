// What a YAML document has at a key, and what its aliases stand for. Both are looked up for as many keys
// as a document has, so neither look-up may go through the document.

import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  visit,
  type YAMLMap,
} from "yaml";

/** A child of a mapping or list. */
export interface Child {
  readonly node: unknown;
  /** Null for an item of a list. */
  readonly keyOffset: number | null;
}

export class YamlNodes {
  readonly contents: unknown;
  readonly #document: Document.Parsed;
  readonly #pairs = new Map<YAMLMap, ReadonlyMap<string, Pair>>();
  #targets: ReadonlyMap<Alias, Node> | null = null;

  constructor(document: Document.Parsed) {
    this.contents = document.contents;
    this.#document = document;
  }

  /** Undefined where no anchor of that name is before the alias. */
  targetOf(alias: Alias): Node | undefined {
    this.#targets ??= findTargets(this.#document);
    return this.#targets.get(alias);
  }

  /** Null where a mapping or list has no such child, or where there is neither. */
  childOf(node: unknown, key: string | number): Child | null {
    if (isSeq(node) && typeof key === "number") {
      return key < node.items.length ? { node: node.items[key], keyOffset: null } : null;
    }
    const pair = isMap(node) && typeof key === "string" ? this.#pairsOf(node).get(key) : undefined;
    return pair === undefined ? null : { node: pair.value, keyOffset: offsetOf(pair.key) };
  }

  /** By key; the first of those that are repeated. */
  #pairsOf(map: YAMLMap): ReadonlyMap<string, Pair> {
    const known = this.#pairs.get(map);
    if (known !== undefined) return known;
    const pairs = new Map<string, Pair>();
    for (const pair of map.items) {
      const name = keyText(pair.key);
      if (name !== null && !pairs.has(name)) pairs.set(name, pair);
    }
    this.#pairs.set(map, pairs);
    return pairs;
  }
}

/** The library's own `resolve` would go through the document for each alias. */
function findTargets(document: Document.Parsed): ReadonlyMap<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Node(_key, node) {
      const target = isAlias(node) ? anchors.get(node.source) : undefined;
      if (isAlias(node) && target !== undefined) targets.set(node, target);
      if ((isScalar(node) || isCollection(node)) && node.anchor) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Null for a key that is no text. */
export function keyText(key: unknown): string | null {
  return isScalar(key) && key.value !== null ? (key.source ?? JSON.stringify(key.value)) : null;
}

export function offsetOf(node: unknown): number {
  return (isNode(node) ? node.range?.[0] : undefined) ?? 0;
}
