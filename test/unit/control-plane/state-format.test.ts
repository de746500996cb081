import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  inRecords,
  StateFormatError,
  stateLines,
  StateReader,
  type StateRecord,
} from "../../../src/control-plane/state-format.ts";

const records: StateRecord[] = [
  { kind: "backend", pool: "chat", id: "server1", state: "draining", weight: null, capacity: 7 },
  { kind: "bans", bans: [["eve", 1_000]] },
  {
    kind: "affinity",
    pool: "chat",
    entries: [
      ["ann", "server1", 10],
      ["bob", "server2", -20],
    ],
  },
];

function textOf(all: readonly StateRecord[]): string {
  return [...stateLines(all, 0)].join("");
}

function read(text: string): readonly StateRecord[] {
  const reader = new StateReader();
  for (const line of text.split("\n").slice(0, -1)) reader.take(line);
  return reader.finish();
}

test("a state file is JSON, and says its version", () => {
  expect(JSON.parse(textOf(records))).toEqual({
    weir: "state",
    version: 1,
    savedAt: "1970-01-01T00:00:00.000Z",
    records,
  });
  expect(JSON.parse(textOf([]))).toMatchObject({ records: [] });
});

describe("what was written is read", () => {
  test("of every kind", () => {
    expect(read(textOf(records))).toEqual(records);
    expect(read(textOf([]))).toEqual([]);
  });

  test("whatever users and backends are called", () => {
    const entry = fc.tuple(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), fc.integer());
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const all: StateRecord[] = [{ kind: "affinity", pool: "chat", entries }];
        expect(read(textOf(all))).toEqual(all);
      }),
    );
  });
});

describe("is refused", () => {
  const whole = textOf(records);
  test.each([
    ["a file that is empty", "", "empty"],
    ["another file", "root:x:0:0:root\n", "not a state file"],
    ["other JSON", '{"version":1,"records":[\n]}\n', "not a state file"],
    ["a later version", whole.replace('"version":1', '"version":2'), "its version is 2"],
    ["a file with something behind it", `${whole}{}\n`, "follows its end"],
    ["a record of another kind", whole.replace('"bans"', '"bands"'), "something unknown"],
    ["a record that says more", whole.replace('"pool":"chat"', '"pool":"chat","a":1'), "something unknown"],
    ["a time that is none", whole.replace("1000", '"soon"'), "something unknown"],
  ])("%s", (_what, text, message) => {
    expect(() => read(text)).toThrow(StateFormatError);
    expect(() => read(text)).toThrow(message);
  });

  test("a file that is cut short, wherever", () => {
    for (let length = 0; length < whole.length - 1; length++) {
      expect(() => read(`${whole.slice(0, length)}\n`)).toThrow(StateFormatError);
    }
  });
});

test("entries come by the hundreds, none is lost, and none is asked for before its turn", () => {
  let asked = 0;
  function* numbers(): Generator<number> {
    while (asked < 1_234) yield asked++;
  }
  const batches = inRecords(numbers());
  expect(batches.next().value).toHaveLength(500);
  expect(asked).toBe(500);
  expect([...batches].map((batch) => batch.length)).toEqual([500, 234]);
});
