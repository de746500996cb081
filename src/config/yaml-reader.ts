// Walks the nodes of a YAML document into plain data and remembers where each stands.

import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Scalar,
  type YAMLMap,
} from "yaml";
import { type Finding, formatPath, type KeyPath } from "./problems.ts";
import { hasReference, substitute, SubstitutionError, type SubstitutionSource } from "./substitute.ts";
import { explainAlias, explainBrackets, explainReference } from "./yaml-traps.ts";

/** Anchors may repeat sections; more nodes than this are a mistake or an attack. */
const MAX_NODES = 100_000;
const MAX_DEPTH = 50;

/** Something that could not be read. */
export interface ReadFinding {
  readonly path: KeyPath;
  readonly offset: number;
  readonly message: string;
  /** True if it would be said even of a text whose syntax is broken elsewhere. */
  readonly isCertain: boolean;
}

interface Place {
  /** Offset of the key; null in a list and at the root. */
  readonly key: number | null;
  readonly value: number;
  /** True for mappings and lists. */
  readonly isCollection: boolean;
}

export class NodeReader {
  readonly findings: ReadFinding[] = [];
  readonly #document: Document.Parsed;
  readonly #text: string;
  readonly #substitution: SubstitutionSource;
  readonly #places = new Map<string, Place>();
  #nodes = 0;

  constructor(document: Document.Parsed, text: string, substitution: SubstitutionSource) {
    this.#document = document;
    this.#text = text;
    this.#substitution = substitution;
  }

  readDocument(): unknown {
    return this.#read(this.#document.contents, [], null);
  }

  /**
   * The place of a key, or of the nearest thing around it that the text has: a key that is missing is
   * shown at its parent; below a shorthand (a string instead of a mapping) the path ends at the string.
   */
  placeOf({ path, at }: Finding): { offset: number; path: KeyPath } {
    for (let length = path.length; length >= 0; length--) {
      const place = this.#places.get(formatPath(path.slice(0, length)));
      if (place === undefined) continue;
      if (length === path.length)
        return { offset: at === "key" ? (place.key ?? place.value) : place.value, path };
      if (place.isCollection) return { offset: place.key ?? place.value, path };
      return { offset: place.value, path: path.slice(0, length) };
    }
    return { offset: 0, path };
  }

  #read(node: unknown, path: KeyPath, key: number | null): unknown {
    if (!isNode(node)) return this.#empty(path, key ?? 0);
    const offset = node.range?.[0] ?? key ?? 0;
    this.#places.set(formatPath(path), { key, value: offset, isCollection: isMap(node) || isSeq(node) });
    // One that is too deep or too many ends the walk here, and with it an alias to its own parent.
    if (++this.#nodes > MAX_NODES || path.length > MAX_DEPTH) {
      if (this.#nodes > MAX_NODES + 1) return undefined;
      return this.#fail(path.slice(0, 4), offset, "is nested too deeply, or repeated too often by aliases");
    }
    if (isAlias(node)) return this.#readAlias(node, path, key, offset);
    if (isMap(node)) return this.#readMap(node, path);
    if (isSeq(node)) return node.items.map((item, index) => this.#read(item, [...path, index], null));
    if (!isScalar(node)) return undefined;
    if (node.value === null) return this.#empty(path, offset);
    return typeof node.value === "string" ? this.#readString(node, node.value, path, offset) : node.value;
  }

  #readAlias(node: Node & { source: string }, path: KeyPath, key: number | null, offset: number): unknown {
    const target = isAlias(node) ? node.resolve(this.#document) : undefined;
    if (target === undefined) return this.#fail(path, offset, explainAlias(`*${node.source}`), true);
    const value = this.#read(target, path, key);
    // Errors inside belong to the anchor's lines, those about the value itself to the alias.
    this.#places.set(formatPath(path), { key, value: offset, isCollection: !isScalar(target) });
    return value;
  }

  #readMap(map: YAMLMap, path: KeyPath): unknown {
    const entries = new Map<string, unknown>();
    for (const pair of map.items) {
      const name = this.#readKey(pair, path);
      if (name === null) continue;
      const keyPath = [...path, name];
      const offset = offsetOf(pair.key);
      if (entries.has(name)) this.#fail(keyPath, offset, "is here for the second time");
      else if (isMissingSpace(name, pair)) this.#fail(keyPath, offset, "needs a space after the colon");
      else entries.set(name, this.#read(pair.value, keyPath, offset));
    }
    return Object.fromEntries(entries);
  }

  /** Null for a key that is no text, which in this configuration is always a missing pair of quotes. */
  #readKey({ key }: Pair, path: KeyPath): string | null {
    if (isScalar(key) && key.value !== null) return key.source ?? JSON.stringify(key.value);
    const [start, end] = (isNode(key) ? key.range : undefined) ?? [0, 0];
    const source = this.#text.slice(start, end);
    const rest = /^[^\s,\]}]*/.exec(this.#text.slice(end))?.[0] ?? "";
    if (isAlias(key)) this.#fail(path, start, explainAlias(source), true);
    else if (isSeq(key)) this.#fail(path, start, explainBrackets(source + rest), true);
    else this.#fail(path, start, "a key must be text");
    return null;
  }

  #readString(node: Scalar, text: string, path: KeyPath, offset: number): unknown {
    if (!hasReference(text)) return text;
    if (node.type === Scalar.PLAIN) return this.#fail(path, offset, explainReference(text), true);
    try {
      return substitute(text, this.#substitution);
    } catch (error) {
      if (!(error instanceof SubstitutionError)) throw error;
      return this.#fail(path, offset, error.message, true);
    }
  }

  #empty(path: KeyPath, offset: number): undefined {
    const message =
      path.length === 0
        ? "is empty: a configuration needs at least listeners and pools"
        : "is empty: give it a value or leave it out";
    return this.#fail(path, offset, message);
  }

  #fail(path: KeyPath, offset: number, message: string, isCertain = false): undefined {
    this.findings.push({ path, offset, message, isCertain });
  }
}

/** `{ level:info }` is the key "level:info" to YAML. */
function isMissingSpace(name: string, { value }: Pair): boolean {
  return /^\w+:\S/.test(name) && (value === null || (isScalar(value) && value.value === null));
}

function offsetOf(node: unknown): number {
  return (isNode(node) ? node.range?.[0] : undefined) ?? 0;
}
