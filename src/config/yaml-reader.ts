// Walks the nodes of a YAML document into plain data, and finds where in the text a key stands.

import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Pair,
  Scalar,
  type YAMLMap,
} from "yaml";
import type { Finding, KeyPath } from "./problems.ts";
import { hasReference, substitute, SubstitutionError, type SubstitutionSource } from "./substitute.ts";
import { keyText, offsetOf, YamlNodes } from "./yaml-nodes.ts";
import { explainAlias, explainBraces, explainBrackets, explainReference } from "./yaml-traps.ts";

/** Aliases repeat what they stand for; more nodes than this are a mistake or an attack. */
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

export class NodeReader {
  readonly findings: ReadFinding[] = [];
  readonly #nodes: YamlNodes;
  readonly #text: string;
  readonly #substitution: SubstitutionSource;
  #whenEmpty = "";
  #nodeCount = 0;

  constructor(document: Document.Parsed, text: string, substitution: SubstitutionSource) {
    this.#nodes = new YamlNodes(document);
    this.#text = text;
    this.#substitution = substitution;
  }

  /** False for a text with more values than one can have: the rest of them was not read. */
  get isComplete(): boolean {
    return this.#nodeCount <= MAX_NODES;
  }

  /** @param whenEmpty what to say of a document without content */
  readDocument(whenEmpty: string): unknown {
    this.#whenEmpty = whenEmpty;
    return this.#read(this.#nodes.contents, [], null);
  }

  /**
   * The place of a key, or of the nearest thing around it that the text has: a key that is missing is
   * shown at its parent; below a shorthand (a string instead of a mapping) the path ends at the string.
   */
  placeOf({ path, at }: Finding): { offset: number; path: KeyPath } {
    let node = this.#nodes.contents;
    let keyOffset: number | null = null;
    for (const [depth, key] of path.entries()) {
      const target = isAlias(node) ? this.#nodes.targetOf(node) : node;
      const child = this.#nodes.childOf(target, key);
      if (child === null) {
        const offset = offsetOf(node);
        if (isScalar(target)) return { offset, path: path.slice(0, depth) };
        return { offset: keyOffset ?? offset, path };
      }
      node = child.node;
      keyOffset = child.keyOffset;
    }
    const isAtKey = at === "key" || !isNode(node);
    return { offset: (isAtKey ? keyOffset : null) ?? offsetOf(node), path };
  }

  #read(node: unknown, path: KeyPath, key: number | null): unknown {
    if (!isNode(node)) return this.#empty(path, key ?? 0);
    const offset = node.range?.[0] ?? key ?? 0;
    if (++this.#nodeCount > MAX_NODES) return this.#giveUp(path, offset);
    // Here ends what goes on for ever.
    if (path.length > MAX_DEPTH) {
      return this.#fail(path.slice(0, 4), offset, "is nested too deeply, or an alias of what it stands in");
    }
    if (isAlias(node)) return this.#readAlias(node, path, key, offset);
    if (isMap(node)) return this.#readMap(node, path);
    if (isSeq(node)) return node.items.map((item, index) => this.#read(item, [...path, index], null));
    if (!isScalar(node)) return undefined;
    if (node.value === null) return this.#empty(path, offset);
    return typeof node.value === "string" ? this.#readString(node, node.value, path, offset) : node.value;
  }

  #giveUp(path: KeyPath, offset: number): undefined {
    if (this.#nodeCount > MAX_NODES + 1) return;
    const message = `the text has more than ${MAX_NODES} values up to here, counting those that aliases repeat`;
    this.#fail(path.slice(0, 4), offset, message);
  }

  #readAlias(alias: Alias, path: KeyPath, key: number | null, offset: number): unknown {
    const target = this.#nodes.targetOf(alias);
    if (target === undefined) return this.#fail(path, offset, explainAlias(`*${alias.source}`), true);
    return this.#read(target, path, key);
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
    const name = keyText(key);
    if (name !== null) return name;
    const [start, end] = (isNode(key) ? key.range : undefined) ?? [0, 0];
    const source = this.#text.slice(start, end);
    const rest = /^[^\s,\]}]*/.exec(this.#text.slice(end))?.[0] ?? "";
    if (isAlias(key)) this.#fail(path, start, explainAlias(source), true);
    else if (isSeq(key)) this.#fail(path, start, explainBrackets(source + rest), true);
    else if (isMap(key)) this.#fail(path, start, explainBraces(), true);
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
    const message = path.length === 0 ? this.#whenEmpty : "is empty: give it a value or leave it out";
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
