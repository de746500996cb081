// `${…}` inside strings: environment, defaults, files, and what is said when one is missing.

import { describe, expect, test } from "vitest";
import { substitute, SubstitutionError } from "../../../src/config/substitute.ts";

const source = {
  env: { NAME: "weir", EMPTY: "", NESTED: "${NAME}", DOLLARS: "$&$1" },
  readFile: (path: string) => {
    if (path === "/run/secrets/x") return "s3cret\n";
    if (path === "/lines") return "a\nb\r\n";
    throw new Error("no such file");
  },
};

const filled: [text: string, result: string][] = [
  ["plain", "plain"],
  ["${NAME}", "weir"],
  ["a ${NAME}-${NAME} b", "a weir-weir b"],
  ["${EMPTY}", ""],
  ["${MISSING:-default}", "default"],
  ["${MISSING:-}", ""],
  ["${EMPTY:-default}", "default"],
  ["${NAME:-default}", "weir"],
  ["${MISSING:-ws://a:1/b}", "ws://a:1/b"],
  ["${NESTED}", "${NAME}"],
  ["${DOLLARS}", "$&$1"],
  ["${file:/run/secrets/x}", "s3cret"],
  ["${file:/lines}", "a\nb"],
  ["$NAME {NAME} $", "$NAME {NAME} $"],
];

test.each(filled)("%j becomes %j", (text, result) => expect(substitute(text, source)).toBe(result));

describe("refuses", () => {
  const refused: [text: string, message: string][] = [
    ["${MISSING}", "the environment variable MISSING is not set; ${MISSING:-default} gives it a default"],
    ["${toString}", "the environment variable toString is not set; ${toString:-default} gives it a default"],
    ["${}", "${} is not a reference: write ${NAME}, ${NAME:-default} or ${file:/path}"],
    ["${a b}", "${a b} is not a reference: write ${NAME}, ${NAME:-default} or ${file:/path}"],
    ["x${NAME", '"${" without its closing "}"'],
    ["${file:}", "${file:} names no file: write ${file:/path}"],
    ["${file:/nope}", "cannot read ${file:/nope}: no such file"],
  ];
  test.each(refused)("%j", (text, message) => {
    expect(() => substitute(text, source)).toThrow(new SubstitutionError(message));
  });
});
