// The request target and the choice of a route, as laws over random hosts, paths and patterns.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import { parseTarget, Routes } from "../../../src/data-plane/routes.ts";
import { Refusal } from "../../../src/errors.ts";

const pathText = fc.string({ unit: fc.constantFrom("a", "b", ".", "/", "-", "%20", "%2e"), maxLength: 12 });
const dots = fc.constantFrom("..", "%2e%2e", ".%2E", "%2e.", "%252e.", "%25252E%2e");
const slash = fc.constantFrom("/", "%2f", "%2F", "\\", "%5c", "%252f", "%25255C");
/** What ends a segment: some servers cut off what stands behind a semicolon. */
const end = fc.oneof(slash, fc.constantFrom("", ";", "%3b", "%253B"));

function target(path: string, host = "example.com") {
  return parseTarget(path, host);
}

/** What it returns, or the Refusal that it throws. */
function outcomeOf<T>(run: () => T): T | Refusal {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

describe("parseTarget", () => {
  test("reads anything or refuses it as bad_request", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), fc.string({ unit: "binary-ascii" }), (url, host) => {
        const outcome = outcomeOf(() => parseTarget(url, host));
        const seen = outcome instanceof Refusal ? outcome.code : outcome.path[0];
        expect(seen).toBe(outcome instanceof Refusal ? "bad_request" : "/");
      }),
    );
  });

  test("keeps path and query for the backend as they were written, and decodes the path once", () => {
    const segment = fc.string({
      unit: fc.constantFrom("a", "é", " ", "%", "?", "#", "/"),
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(
        fc.array(segment),
        fc.string({ unit: fc.constantFrom("a", "=", "&", "?", "/", ".", "%") }),
        (segments, query) => {
          const rawPath = `/${segments.map(encodeURIComponent).join("/")}?${query}`;
          const parsed = target(rawPath);
          expect(parsed.rawPath).toBe(rawPath);
          expect(parsed.path).toBe(`/${segments.join("/")}`);
          expect(parsed.authority).toBeNull();
        },
      ),
    );
  });

  test("refuses a .. segment between separators of any spelling, wherever it stands", () => {
    fc.assert(
      fc.property(pathText, slash, dots, end, (before, left, segment, right) => {
        expect(() => target(`/${before}${left}${segment}${right}${right && "x"}`)).toThrow(Refusal);
      }),
    );
  });

  test("passes dots that are no .. segment", () => {
    for (const path of [
      "/a..b",
      "/...",
      "/..a",
      "/a..",
      "/.",
      "/./a",
      "/?/../",
      "/a;..",
      "/..a;",
      "/%25..2e",
    ]) {
      expect(target(path).rawPath).toBe(path);
    }
  });

  test("compares paths without . segments, which mean nothing", () => {
    const cases = [
      ["/./a", "/a"],
      ["/a/././b/.", "/a/b/"],
      ["/%2e/a/%2E", "/a/"],
      ["/a%2f.%2fb", "/a/b"],
      ["/.", "/"],
      ["/a./.b/...", "/a./.b/..."],
    ] as const;
    for (const [written, compared] of cases) {
      expect(target(written)).toMatchObject({ path: compared, rawPath: written });
    }
  });

  test("refuses a fragment anywhere", () => {
    for (const path of ["/#", "/a#/b", "/a?b#c", "http://a/b#", "http://a#b"]) {
      expect(() => target(path)).toThrow("fragment");
    }
    expect(target("/%23").path).toBe("/#");
  });

  test.for(["/\\", "/a\\b", "/a%5cb", "/%5C", "/%255cb", "/%2525255Cb", "http://a/b%5cc"])(
    "refuses the backslash in %s",
    (path) => {
      expect(() => target(path)).toThrow("backslash");
    },
  );

  test("passes a backslash in a query", () => {
    for (const path of ["/a?b\\c", "/a?b%5cc"]) expect(target(path).rawPath).toBe(path);
  });

  test("refuses a NUL and a cut-off . segment, however often they are encoded", () => {
    for (const path of [
      "/a%00",
      "/%2500/a",
      "/%25%32%65%2e/a",
      "/%25%32%35%35%63",
      "/.;/a",
      "/a/%2e;x/b",
      "/a/.%253bx/b",
    ]) {
      expect(() => target(path)).toThrow(Refusal);
    }
  });

  test("refuses what is encoded more often than anybody does", () => {
    expect(target(`/%${"25".repeat(3)}41`).rawPath).toBe(`/%${"25".repeat(3)}41`);
    for (const depth of [4, 5, 4_000]) {
      expect(() => target(`/%${"25".repeat(depth)}41`)).toThrow("encoded more than 4 times");
    }
  });

  test("passes what else is encoded twice, and compares it decoded once", () => {
    expect(target("/a%252fb%2520c%2541").path).toBe("/a%2fb%20c%41");
    expect(target(`/${"%25".repeat(4_000)}2`).path).toBe(`/${"%".repeat(4_000)}2`);
  });

  test("reads an absolute target as its authority and the rest", () => {
    const schemes = fc.constantFrom("http", "https", "ws", "WSS");
    const rest = fc.constantFrom("", "/", "/a/b?c", "?c");
    fc.assert(
      fc.property(
        schemes,
        fc.constantFrom("a.example", "a.example:81", "[::1]:1"),
        rest,
        (scheme, authority, after) => {
          const parsed = target(`${scheme}://${authority}${after}`, "header.example");
          const origin = target(after.startsWith("/") ? after : `/${after}`, authority);
          expect(parsed).toEqual({ ...origin, authority });
        },
      ),
    );
  });

  test.for([
    ["Example.COM", "example.com"],
    ["example.com:8080", "example.com"],
    ["example.com:", "example.com"],
    ["example.com.", "example.com"],
    ["example.com.:8080", "example.com"],
    ["127.0.0.1:80", "127.0.0.1"],
    ["[::1]:80", "::1"],
    ["[FE80::1]", "fe80::1"],
    ["[0:0::0:1]:80", "::1"],
    ["[::ffff:127.0.0.1]", "::ffff:7f00:1"],
    ["127.1", "127.0.0.1"],
    ["0x7F000001.", "127.0.0.1"],
    ["2130706433:80", "127.0.0.1"],
    ["0177.0.0.01", "127.0.0.1"],
    ["shard.1", "shard.1"],
    ["under_score", "under_score"],
    ["a-b.~c.xn--e1afmkfd", "a-b.~c.xn--e1afmkfd"],
    ["", ""],
  ])("takes the name of the host '%s'", ([header, host]) => {
    expect(target("/", header).host).toBe(host);
  });

  test.for([
    "a b",
    "a/b",
    "a@b",
    "a?b",
    "a#b",
    "a\\b",
    "a:b",
    "a:1:2",
    "[::1",
    "::1",
    "[::1]x",
    "a\u00e9",
    '"a"',
    "a,b;c@d",
    "%61dmin.example",
    "admin%2eexample",
    "x%40admin.example",
    "admin.example%00",
    "a!b",
    "a'b",
    "a,b",
    "a;b",
    "a=b",
    "*",
    ":80",
    ":",
    ".",
    "..",
    ".a",
    "a..b",
    "admin.example..",
    "..:80",
    "a:123456",
    "[]",
    "[1.2.3.4]",
    "[::1::]",
    "[:]",
    "[12345::]",
  ])("refuses the host '%s'", (header) => {
    expect(() => target("/", header)).toThrow("the host is malformed");
  });

  test("refuses an absolute target without a host, or with a malformed one", () => {
    for (const url of [
      "http:///x",
      "http://",
      "ws:///",
      "https://:443/",
      "http://?",
      "http://%61/",
      "ws://../",
    ]) {
      expect(() => target(url, "a")).toThrow("the host is malformed");
    }
  });
});

/** Routes for these matches, each to the pool of its index. */
function routesFor(matches: readonly { host?: string; path?: string }[]): Routes {
  const result = parseConfig({
    listeners: ["127.0.0.1:0"],
    pools: Object.fromEntries(matches.map((_, i) => [`p${i}`, { backends: ["ws://a:1"] }])),
    routes: matches.map((match, i) => ({ match, pool: `p${i}` })),
  });
  if (!result.ok) throw new Error(result.errors.map(({ message }) => message).join("; "));
  return new Routes(result.config.routes);
}

/** The index of the first pattern that fits, by a regular expression; undefined for none. */
function firstByRegExp(patterns: readonly string[], path: string): number | undefined {
  const found = patterns.findIndex((pattern) => {
    const withTail = patternSource(pattern);
    const withoutTail = pattern.endsWith("/*") ? `|${patternSource(pattern.slice(0, -2))}` : "";
    return new RegExp(`^(?:${withTail}${withoutTail})$`).test(path);
  });
  return found === -1 ? undefined : found;
}

function patternSource(pattern: string): string {
  return pattern.replaceAll("/", "\\/").replaceAll("*", "[^]*");
}

/** The index in the name of the chosen route's pool; undefined for `no_route`. */
function poolOf(routes: Routes, host: string, path: string): number | undefined {
  const outcome = outcomeOf(() => routes.match({ host, path, rawPath: path, authority: null }));
  if (!(outcome instanceof Refusal)) return Number(outcome.pool.slice(1));
  if (outcome.code !== "no_route") throw outcome;
  return undefined;
}

describe("Routes", () => {
  test("chooses the first path pattern that a regular expression would choose", () => {
    const pattern = fc
      .string({ unit: fc.constantFrom("a", "b", "/", "*"), maxLength: 6 })
      .map((text) => `/${text}`);
    const path = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 8 }).map((text) => `/${text}`);
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), path, (patterns, text) => {
        const routes = routesFor(patterns.map((each) => ({ path: each })));
        expect(poolOf(routes, "any", text)).toBe(firstByRegExp(patterns, text));
      }),
    );
  });

  test("matches a host label by label, * being any one of them", () => {
    const label = fc.constantFrom("a", "b", "c");
    const labels = fc.array(label, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("a", "b", "*"), { minLength: 1, maxLength: 4 }),
        labels,
        (pattern, host) => {
          const isMatch =
            pattern.length === host.length && pattern.every((each, i) => each === "*" || each === host[i]);
          const routes = routesFor([{ host: pattern.join(".") }]);
          expect(poolOf(routes, host.join("."), "/")).toBe(isMatch ? 0 : undefined);
        },
      ),
    );
  });

  test("matches no empty label by *", () => {
    const routes = routesFor([{ host: "*.example" }]);
    expect(poolOf(routes, ".example", "/")).toBeUndefined();
    expect(poolOf(routes, "a.example", "/")).toBe(0);
  });

  test("matches an address in whatever spelling", () => {
    const routes = routesFor([{ host: "127.0.0.1" }, { host: "[0:0::1]" }, { host: "[::ffff:1.2.3.4]" }]);
    for (const [host, index] of [
      ["127.0.0.1", 0],
      ["0x7f.1", 0],
      ["[::1]", 1],
      ["[0:0:0:0:0:0:0:1]", 1],
      ["[::ffff:102:304]", 2],
    ] as const) {
      expect(poolOf(routes, target("/", host).host, "/")).toBe(index);
    }
  });

  test("a route without a match takes everything", () => {
    fc.assert(
      fc.property(fc.webPath(), fc.domain(), (path, host) => {
        expect(poolOf(routesFor([{}]), host, path)).toBe(0);
      }),
    );
  });
});
