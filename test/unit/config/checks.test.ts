// What must hold between keys: conflicts are errors at the key that is at fault, questionable settings
// are warnings.

import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";

const LISTENERS = 'listeners: [":8080"]';
const POOLS = 'pools: { chat: { backends: ["ws://a"] } }';

function problemsOf(...lines: string[]): { errors: string[]; warnings: string[] } {
  const loaded = loadConfig({ text: lines.join("\n"), file: "f", env: {} });
  const warnings = loaded.warnings.map((problem) => formatProblem(problem, "warning"));
  return { errors: loaded.ok ? [] : loaded.errors.map((problem) => formatProblem(problem)), warnings };
}

function errorsOf(...lines: string[]): string[] {
  return problemsOf(...lines).errors;
}

/** There are no errors. */
function warningsOf(...lines: string[]): string[] {
  const { errors, warnings } = problemsOf(LISTENERS, ...lines);
  expect(errors).toEqual([]);
  return warnings;
}

test("no more pairs of tier and pool than can be counted", () => {
  const tiers = Array.from({ length: 130 }, (_, i) => `t${i}: { default: ${i === 0} }`).join(", ");
  const pools = Array.from({ length: 128 }, (_, i) => `p${i}: { backends: ["ws://a"] }`).join(", ");
  expect(errorsOf(LISTENERS, "routes: [{ pool: p0 }]", `tiers: { ${tiers} }`, `pools: { ${pools} }`)).toEqual(
    ["f:4:1: pools: 130 tiers in 128 pools are more than 16384 pairs, which cannot be counted"],
  );
});

describe("addresses", () => {
  test("two listeners cannot have the same one", () => {
    expect(errorsOf('listeners: [":80", ":81", { bind: ":80" }]', POOLS)).toEqual([
      "f:1:35: listeners[2].bind: :80 is the address of listeners[0] already",
    ]);
    expect(errorsOf('listeners: ["[::1]:80", "[0::1]:80"]', POOLS)).toEqual([
      "f:1:25: listeners[1]: [0::1]:80 is the address of listeners[0] already",
    ]);
    expect(errorsOf('listeners: ["unix:/a", "unix:/b", "unix:/a"]', POOLS)).toEqual([
      "f:1:35: listeners[2]: unix:/a is the address of listeners[0] already",
    ]);
    expect(errorsOf('listeners: ["[fe80::1%a]:80", "[fe80::1%b]:80", "[fe80::0:1%a]:80"]', POOLS)).toEqual([
      "f:1:49: listeners[2]: [fe80::0:1%a]:80 is the address of listeners[0] already",
    ]);
  });

  test.each([
    [":80", "127.0.0.1:80"],
    [":80", "[::1]:80"],
    [":80", "localhost:80"],
    [":80", "0.0.0.0:80"],
    ["[::]:80", "10.0.0.1:80"],
    ["0.0.0.0:80", "127.0.0.1:80"],
  ])("nor ones that overlap: %s and %s", (wide, narrow) => {
    expect(errorsOf(`listeners: ["${wide}", "${narrow}"]`, POOLS)).toEqual([
      expect.stringMatching(
        /: listeners\[1\]: \S+ is among the addresses of listeners\[0\] already, which is on all of them/,
      ),
    ]);
    expect(errorsOf(`listeners: ["${narrow}", "${wide}"]`, POOLS)).toEqual([
      `f:1:${narrow.length + 17}: listeners[1]: ${wide} is on all addresses, and so on that of listeners[0] (${narrow}) too`,
    ]);
  });

  test.each([
    [":80", "127.0.0.1:81"],
    ["0.0.0.0:80", "[::1]:80"],
    ["127.0.0.1:80", "127.0.0.2:80"],
    ["unix:/a", "unix:/b"],
  ])("while %s and %s stand side by side", (one, other) => {
    expect(errorsOf(`listeners: ["${one}", "${other}"]`, POOLS)).toEqual([]);
  });

  test.each([
    [
      ["10.0.0.1:80", "10.0.0.2:80", ":80"],
      "is on all addresses, and so on that of listeners[0] (10.0.0.1:80) too",
    ],
    [
      ["[::1]:80", "10.0.0.2:80", "0.0.0.0:80"],
      "is on all addresses, and so on that of listeners[1] (10.0.0.2:80) too",
    ],
    [
      [":81", "[::1]:80", "0.0.0.0:80", "10.0.0.1:80"],
      "is among the addresses of listeners[2] already, which is on all of them (0.0.0.0:80)",
    ],
  ])("the first that stands in the way is named: %j", (binds, message) => {
    const last = binds.at(-1);
    expect(errorsOf(`listeners: ${JSON.stringify(binds)}`, POOLS)).toEqual([
      expect.stringContaining(`: listeners[${binds.length - 1}]: ${last} ${message}`),
    ]);
  });

  test("one that is refused takes no address", () => {
    expect(errorsOf('listeners: [":80", "10.0.0.1:80", "10.0.0.1:80"]', POOLS)).toEqual([
      expect.stringContaining("listeners[1]: 10.0.0.1:80 is among the addresses of listeners[0]"),
      expect.stringContaining("listeners[2]: 10.0.0.1:80 is among the addresses of listeners[0]"),
    ]);
  });

  test("nor may a listener on all addresses take the port of the admin server", () => {
    expect(errorsOf('listeners: [":9347"]', POOLS)).toEqual([
      "f:1:13: listeners[0]: :9347 is on all addresses, and so on that of the admin server (127.0.0.1:9347) too",
    ]);
  });

  test("nor a listener and the admin server, whose default counts", () => {
    expect(errorsOf('listeners: ["127.0.0.1:9347"]', POOLS)).toEqual([
      "f:1:13: listeners[0]: 127.0.0.1:9347 is the address of the admin server already",
    ]);
    expect(errorsOf('listeners: ["127.0.0.1:9347"]', POOLS, "admin: off")).toEqual([]);
  });

  test("port 0 is another one each time", () => {
    expect(
      errorsOf('listeners: ["127.0.0.1:0", "127.0.0.1:0"]', POOLS, 'admin: { bind: "127.0.0.1:0" }'),
    ).toEqual([]);
  });

  test("the admin server needs a token beyond loopback", () => {
    const message =
      "f:3:16: admin.bind: :9000 can be reached from other machines: set admin.token, or bind to 127.0.0.1";
    expect(errorsOf(LISTENERS, POOLS, 'admin: { bind: ":9000" }')).toEqual([message]);
    expect(errorsOf(LISTENERS, POOLS, 'admin: { bind: ":9000", token: off }')).toEqual([message]);
    expect(errorsOf(LISTENERS, POOLS, 'admin: { bind: ":9000", token: long-enough }')).toEqual([]);
    expect(errorsOf(LISTENERS, POOLS, 'admin: { bind: "[::1]:9000" }')).toEqual([]);
  });

  test("client certificates need a CA", () => {
    const tls = "tls: { certificates: [{ cert: a, key: b }], clientCert: optional }";
    expect(errorsOf(`listeners: [{ bind: ":1", ${tls} }]`, POOLS)).toEqual([
      "f:1:83: listeners[0].tls.clientCert: needs clientCa, to check certificates against",
    ]);
  });
});

test.each([
  ["tiers: { __proto__: {}, a: { default: true } }", "3:10: tiers.__proto__"],
  ["pools: { __proto__: { backends: [ws://a] } }", "3:10: pools.__proto__"],
  ["routes: [{ pool: chat, headers: { set: { __proto__: x } } }]", "3:42: routes[0].headers.set.__proto__"],
  [
    "pools: { chat: { backends: [ws://a], healthCheck: { type: http, headers: { __proto__: x } } } }",
    "3:76: pools.chat.healthCheck.headers.__proto__",
  ],
])("no name is what every object has: %s", (line, place) => {
  const pools = line.startsWith("pools") ? "" : POOLS;
  expect(errorsOf(LISTENERS, pools, line)).toEqual([`f:${place}: cannot be a name: choose another`]);
});

describe("tiers", () => {
  test("one is warned of that is called what the metrics call all of them", () => {
    expect(warningsOf(POOLS, "tiers: { all: { default: true } }")).toEqual([
      "f:3:10: warning: tiers.all: is what the metrics call all tiers together: they do not tell this one's own cap",
    ]);
  });

  test("exactly one is the default", () => {
    expect(errorsOf(LISTENERS, POOLS, "tiers: { a: {}, b: {} }")).toEqual([
      "f:3:1: tiers: exactly one tier must have default: true; none has",
    ]);
    expect(errorsOf(LISTENERS, POOLS, "tiers: { a: { default: true }, b: { default: on } }")).toEqual([
      "f:3:46: tiers.b.default: exactly one tier must have default: true; a has it already",
    ]);
    expect(errorsOf(LISTENERS, POOLS, "tiers: { a: { default: true }, b: { default: off } }")).toEqual([]);
  });
});

describe("routes", () => {
  test("are required with several pools, and the error shows what to add", () => {
    expect(
      errorsOf(LISTENERS, "pools:", '  a: { backends: ["ws://a"] }', '  b: { backends: ["ws://b"] }'),
    ).toEqual([
      'f:1:1: routes: is required with 2 pools; add routes: [{ match: { path: "/a/*" }, pool: a }, { pool: b }]',
    ]);
  });

  test("lead to pools that exist", () => {
    expect(errorsOf(LISTENERS, POOLS, "routes: [{ pool: game }, { pool: toString }]")).toEqual([
      'f:3:18: routes[0].pool: there is no pool "game"; there is chat',
      'f:3:34: routes[1].pool: there is no pool "toString"; there is chat',
    ]);
    const pools = Array.from({ length: 18 }, (_, i) => `pool${i}: { backends: ["ws://a"] }`).join(", ");
    const names = Array.from({ length: 17 }, (_, i) => `pool${i}`).join(", ");
    expect(errorsOf(LISTENERS, `pools: { ${pools} }`, "routes: [{ pool: game }, { pool: pol7 }]")).toEqual([
      `f:3:18: routes[0].pool: there is no pool "game"; there is ${names} …`,
      'f:3:34: routes[1].pool: there is no pool "pol7" (did you mean pool7?)',
    ]);
  });

  test("ask for credentials only where there is something to check them with", () => {
    expect(errorsOf(LISTENERS, POOLS, "routes: [{ pool: chat, auth: optional }]")).toEqual([
      "f:3:30: routes[0].auth: needs identity.jwt or identity.forwardAuth, to check credentials with",
    ]);
    expect(errorsOf(LISTENERS, POOLS, "routes: [{ pool: chat, auth: off }]")).toEqual([]);
  });

  test("set no header twice", () => {
    expect(
      errorsOf(LISTENERS, POOLS, "routes: [{ pool: chat, headers: { set: { X-A: a, x-a: b } } }]"),
    ).toEqual(["f:3:50: routes[0].headers.set.x-a: is here already, in other case"]);
  });
});

describe("pools", () => {
  test("there is at least one", () => {
    expect(errorsOf(LISTENERS, "pools: {}")).toEqual([
      'f:2:1: pools: names no pool, e.g. chat: { backends: ["ws://localhost:3000"] }',
    ]);
  });

  test("each has backends, or a file of them", () => {
    const message = 'has no backends: add backends: ["ws://localhost:3000"] or a backendsFile';
    expect(errorsOf(LISTENERS, "pools:", "  a: {}")).toEqual([`f:3:3: pools.a: ${message}`]);
    expect(errorsOf(LISTENERS, "pools:", "  a: { backends: [], backendsFile: off }")).toEqual([
      `f:3:3: pools.a: ${message}`,
    ]);
  });

  test("ids are unique within a pool, given or derived", () => {
    expect(
      errorsOf(
        LISTENERS,
        "pools:",
        "  a:",
        "    backends:",
        '      - "ws://h:1"',
        '      - "ws://h:1/base"',
        '      - { url: "ws://h:2", id: "h:1" }',
        '  b: { backends: ["ws://h:1"] }',
        "routes: [{ pool: a }]",
      ),
    ).toEqual([
      'f:6:9: pools.a.backends[1]: the id "h:1" is that of backends[0] already; give one of them an id of its own',
      'f:7:32: pools.a.backends[2].id: the id "h:1" is that of backends[0] already',
    ]);
  });

  test("tls settings are for wss, and a certificate comes with its key", () => {
    expect(
      errorsOf(
        LISTENERS,
        'pools: { a: { backends: [{ url: "ws://a", tls: { ca: b } }, { url: "wss://b", tls: { cert: c } }, { url: "wss://c", tls: { key: c } }] } }',
      ),
    ).toEqual([
      "f:2:43: pools.a.backends[0].tls: is for wss:// URLs only",
      "f:2:86: pools.a.backends[1].tls.cert: needs key as well",
      "f:2:124: pools.a.backends[2].tls.key: needs cert as well",
    ]);
  });

  test("a health check has only the keys of its type", () => {
    expect(errorsOf(LISTENERS, 'pools: { a: { backends: ["ws://a"], healthCheck: { path: /x } } }')).toEqual([
      "f:2:58: pools.a.healthCheck.path: belongs to type http and websocket only, not to tcp",
    ]);
  });
});

test("a key that is wrong by itself is not blamed a second time", () => {
  expect(errorsOf(LISTENERS, POOLS, "identity: { jwt: { secrt: x } }", "tiers: { a: 5 }")).toEqual([
    "f:3:20: identity.jwt.secrt: unknown key (did you mean secret?)",
    "f:4:13: tiers.a: 5 is not a mapping with maxConnections, maxConnectionsPerUser, priority, messages, bytes, userFull, default",
  ]);
});

describe("warnings", () => {
  test("a grace period of which no client is told", () => {
    expect(warningsOf(POOLS, "shutdown: { grace: 5s }")).toEqual([
      "f:3:20: warning: shutdown.grace: no route has notices.draining, so clients are not told to leave and all of them wait this long",
    ]);
    const routes = "routes: [{ pool: chat, notices: { draining: bye } }]";
    expect(warningsOf(POOLS, "shutdown: { grace: 5s }", routes)).toEqual([]);
  });

  test("a shutdown whose parts do not fit", () => {
    expect(warningsOf(POOLS, "shutdown: { spread: 20s, readyDelay: 6s }")).toEqual([
      "f:3:1: warning: shutdown.timeout: readyDelay, grace, spread and timeouts.close together (28000 ms) do not fit into it",
    ]);
  });

  test.each([
    "{ pool: chat }",
    '{ pool: chat, match: { path: "*" } }',
    "{ pool: chat, match: { path: /* } }",
  ])("a route behind one that takes everything: %s", (first) => {
    const routes = `routes: [${first}, { pool: chat, match: { path: /x } }]`;
    const column = routes.lastIndexOf("{ pool") + 1;
    expect(warningsOf(POOLS, routes)).toEqual([
      `f:3:${column}: warning: routes[1]: is never reached, nor is what follows: routes[0] takes everything`,
    ]);
  });

  test("a pool without a route", () => {
    const pools = 'pools: { a: { backends: ["ws://a"] }, b: { backends: ["ws://b"] } }';
    expect(warningsOf(pools, "routes: [{ pool: a }]")).toEqual([
      "f:2:39: warning: pools.b: no route leads to this pool",
    ]);
  });
});
