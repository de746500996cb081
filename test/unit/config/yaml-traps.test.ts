// The traps of YAML: each gets an error that says what to do.

import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";

const VALID = 'listeners: [":8080"]\npools: { chat: { backends: ["ws://localhost:3000"] } }\n';

function errorsOf(text: string): string[] {
  const loaded = loadConfig({ text, file: "f", env: {} });
  return loaded.ok ? [] : loaded.errors.map((problem) => formatProblem(problem));
}

describe("what must be quoted", () => {
  const reference = "a value with ${ must be in quotes, since { begins a mapping in YAML: quote it,";
  const cases: [text: string, ...errors: string[]][] = [
    [`${VALID}pidFile: \${X}`, `f:3:10: pidFile: ${reference} "\${X}"`],
    [`${VALID}admin: { token: \${X}, bind: ":1" }`, `f:3:17: ${reference} "\${X}"`],
    [`listeners: [:\${PORT}]`, `f:1:13: ${reference} ":\${PORT}"`],
    [`${VALID}pidFile: a/\${X:-b}`, `f:3:10: pidFile: ${reference} "a/\${X:-b}"`],
    ["listeners:\n  - [::1]:80", 'f:2:5: [ begins a list in YAML: quote it, "[::1]:80"'],
    ["listeners: [[::1]:80]", 'f:1:13: listeners[0]: [ begins a list in YAML: quote it, "[::1]:80"'],
    ["listeners: [{ bind: [::1]:80 }]", 'f:1:21: [ begins a list in YAML: quote it, "[::1]:80"'],
    [
      `${VALID}routes: [{ match: { host: *.example.com }, pool: chat }]`,
      'f:3:27: routes[0].match.host: * begins an alias in YAML: quote it, "*.example.com"',
    ],
    [
      `${VALID}routes:\n  - match:\n      host: *.example.com\n    pool: chat`,
      'f:5:13: routes[0].match.host: * begins an alias in YAML: quote it, "*.example.com"',
    ],
    [
      `${VALID}routes: [{ pool: chat, notices: { draining: {{graceSeconds}} } }]`,
      "f:3:46: routes[0].notices.draining: { begins a mapping in YAML: quote the whole text",
    ],
    [
      `${VALID}routes: [{ pool: chat, notices: { limited: {"retryAfterMs":{{retryAfterMs}}} } }]`,
      "f:3:61: routes[0].notices.limited.retryAfterMs: { begins a mapping in YAML: quote the whole text",
    ],
    [`${VALID}pidFile: @x`, "f:3:10: an unquoted value cannot begin with @: quote it"],
    [`${VALID}log: level: info`, 'f:3:6: an unquoted value cannot hold ": ": quote it'],
  ];
  test.each(cases)("%s", (text, ...errors) => {
    const found = errorsOf(text);
    expect(found.filter((error) => !error.includes("is required"))).toEqual(errors);
  });

  test("what is quoted, or in a comment, is left alone", () => {
    const text = `${VALID}routes: [{ match: { host: "*.example.com" }, pool: chat }] # \${X} [::1]:80`;
    expect(errorsOf(text)).toEqual([]);
  });

  test("several traps are all found", () => {
    const text = `listeners:\n  - [::1]:80\npidFile: \${X}\npools: { a: { backends: [*b] } }\nadmin: { token: \${Y} }\nlog: {}`;
    const places = errorsOf(text).map((error) => error.replace(/^f:(\d+:\d+).*/, "$1"));
    expect(places).toEqual(["2:5", "3:10", "4:26", "5:17"]);
  });
});

describe("other traps", () => {
  const cases: [what: string, text: string, ...errors: string[]][] = [
    ["an empty file", "", "f:1:1: is empty: a configuration needs at least listeners and pools"],
    ["only a comment", "# later\n", "f:1:1: is empty: a configuration needs at least listeners and pools"],
    [
      "no mapping",
      "- a\n",
      "f:1:1: a list is not a mapping with listeners, threads, trustedProxies, clientIpHeader, identity, tiers, limits, routes, pools, timeouts, shutdown, reload, state, pidFile, admin, log, alerts",
    ],
    ["a section without content", `${VALID}log:\n`, "f:3:5: log: is empty: give it a value or leave it out"],
    [
      "an empty item",
      'listeners: [":1", ~]\npools: { a: { backends: ["ws://b"] } }',
      "f:1:19: listeners[1]: is empty: give it a value or leave it out",
    ],
    [
      "a tab",
      'listeners:\n\t- ":1"\npools: { a: { backends: ["ws://b"] } }',
      "f:2:1: a tab cannot indent YAML: use spaces",
    ],
    [
      "a key twice",
      `${VALID}log: { level: info, level: warn }`,
      "f:3:21: log.level: is here for the second time",
    ],
    [
      "a section twice",
      `${VALID}${VALID}`,
      "f:3:1: listeners: is here for the second time",
      "f:4:1: pools: is here for the second time",
    ],
    [
      "two documents",
      `${VALID}---\nlog: {}`,
      "f:3:1: a second YAML document begins here (---); a configuration is one",
    ],
    [
      "no space after a colon",
      `${VALID}log: { level:info }`,
      'f:3:8: log["level:info"]: needs a space after the colon',
    ],
    [
      "a bracket left open",
      'listeners: [":1"\npools: {}',
      "f:2:1: not YAML: flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
    [
      "a foreign tag",
      `${VALID}pidFile: !!js/function x`,
      "f:3:10: not YAML: unresolved tag: tag:yaml.org,2002:js/function",
    ],
    [
      "a merge key",
      `${VALID}log: { <<: { level: info } }`,
      'f:3:8: log["<<"]: unknown key; known here: level, format, access',
    ],
    [
      "an alias of its own parent",
      'listeners: [":1"]\npools: &p { chat: *p }',
      "f:2:19: pools.chat.chat.chat: is nested too deeply, or an alias of what it stands in",
    ],
    [
      "lists in lists in lists",
      `${VALID}log: ${"[".repeat(60)}${"]".repeat(60)}`,
      "f:3:56: log[0][0][0]: is nested too deeply, or an alias of what it stands in",
    ],
    [
      "more of them than the parser bears",
      `${VALID}log: ${"[".repeat(20_000)}${"]".repeat(20_000)}`,
      expect.stringMatching(/^f:3:\d+: what begins here is nested too deeply$/) as string,
    ],
  ];
  test.each(cases)("%s", (_what, text, ...errors) => expect(errorsOf(text)).toEqual(errors));

  test("aliases that multiply end in an error, not in a full memory", () => {
    const lines = Array.from({ length: 12 }, (_, i) => {
      const references = i === 0 ? "x" : `*a${i - 1}`;
      return `a${i}: &a${i} [${Array.from({ length: 9 }, () => references).join(", ")}]`;
    });
    // Of what was not read, nothing is said.
    expect(errorsOf(lines.join("\n"))).toEqual([
      expect.stringMatching(
        /^f:\d+:\d+: a\d+\[\d\]\S*: the text has more than 100000 values up to here, counting those/,
      ),
    ]);
  });

  test("Windows line ends and a byte order mark change nothing", () => {
    expect(errorsOf(`\uFEFF${VALID.replaceAll("\n", "\r\n")}`)).toEqual([]);
    expect(errorsOf(`${VALID}log: { level: x }`.replaceAll("\n", "\r\n"))).toEqual([
      'f:3:15: log.level: "x" is not one of trace, debug, info, warn, error, silent',
    ]);
  });

  test("a missing variable is an error at the string that names it", () => {
    expect(errorsOf(`${VALID}admin: { token: "\${NOPE}" }`)).toEqual([
      "f:3:17: admin.token: the environment variable NOPE is not set; ${NOPE:-default} gives it a default",
    ]);
  });

  test("a missing file is an error at the string that names it", () => {
    const [error = ""] = errorsOf(`${VALID}admin: { token: "\${file:/nope/nope}" }`);
    expect(error).toMatch(/^f:3:17: admin\.token: cannot read \$\{file:\/nope\/nope\}: ENOENT/);
  });
});
