// Looking up keys and aliases: the right one of several, and without going through the document each time.

import { type Alias, isScalar, parseDocument, type YAMLMap, type YAMLSeq } from "yaml";
import { expect, test } from "vitest";
import { YamlNodes } from "../../../src/config/yaml-nodes.ts";

function read(text: string): {
  readonly nodes: YamlNodes;
  readonly contents: YAMLMap | YAMLSeq;
  readonly readsOf: () => number;
} {
  const document = parseDocument(text, { uniqueKeys: false });
  const contents = document.contents as YAMLMap | YAMLSeq;
  const { items } = contents;
  let reads = 0;
  Object.defineProperty(contents, "items", {
    get() {
      reads += 1;
      return items;
    },
  });
  return { nodes: new YamlNodes(document), contents, readsOf: () => reads };
}

function valueOf(node: unknown): unknown {
  return isScalar(node) ? node.value : undefined;
}

test("the first of two equal keys is the one that is found, at its place", () => {
  const { nodes, contents } = read("a: 1\nb: 2\na: 3\n");
  const child = nodes.childOf(contents, "a");
  expect(valueOf(child?.node)).toBe(1);
  expect(child?.keyOffset).toBe(0);
  expect(nodes.childOf(contents, "b")?.keyOffset).toBe(5);
  expect(nodes.childOf(contents, "c")).toBeNull();
  expect(nodes.childOf(contents, 0)).toBeNull();
});

test("a mapping is gone through once, for however many of its keys", () => {
  const { nodes, contents, readsOf } = read("a: 1\nb: 2\nc: 3\n");
  expect(["a", "b", "c", "a"].map((key) => valueOf(nodes.childOf(contents, key)?.node))).toEqual([
    1, 2, 3, 1,
  ]);
  expect(readsOf()).toBe(1);
});

test("an alias is what its name stood for last before it", () => {
  const { nodes, contents } = read("[*x, &x 1, *x, { k: &x 2 }, *x, &x { l: *x }, *y]");
  const targets = contents.items.map((item) => nodes.targetOf(item as Alias));
  expect(targets.map(valueOf)).toEqual([undefined, undefined, 1, undefined, 2, undefined, undefined]);
});

test("a document is gone through once, for however many aliases", () => {
  const { nodes, contents, readsOf } = read("[&a 1, *a, &b 2, *b, *a]");
  const aliases = [1, 3, 4].map((index) => contents.items[index] as Alias);
  const [first, ...others] = aliases;
  expect(valueOf(nodes.targetOf(first as Alias))).toBe(1);
  const readsForOne = readsOf();
  expect(others.map((alias) => valueOf(nodes.targetOf(alias)))).toEqual([2, 1]);
  expect(readsOf()).toBe(readsForOne);
});
