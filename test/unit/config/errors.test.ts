// What is said about a wrong configuration, and where it points: every error at once.

import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";

const POOLS = 'pools: { chat: { backends: ["ws://localhost:3000"] } }\n';

function errorsOf(text: string): string[] {
  const loaded = loadConfig({ text, file: "weir.yaml", env: {} });
  return loaded.ok ? [] : loaded.errors.map((problem) => formatProblem(problem));
}

/** The errors of one line below a valid listener (line 1) and pool (line 2). */
function errorsOfLine(line: string): string[] {
  return errorsOf(`listeners: [":8080"]\n${POOLS}${line}\n`).map((error) =>
    error.replace(/^weir\.yaml:/, ""),
  );
}

test.each(["99", "600", "99.5", "[200]", "true", '"200-x"', '"300-200"'])(
  "%s is no status to expect",
  (status) => {
    const pool = `{ backends: ["ws://a"], healthCheck: { type: http, expect: ${status} } }`;
    const [error, ...others] = errorsOf(`listeners: [":8080"]\npools: { chat: ${pool} }\n`);
    expect(error).toMatch(/: pools\.chat\.healthCheck\.expect: .* is not a status or a range like 200-399$/);
    expect(others).toEqual([]);
  },
);

test("an error is one line, whatever its key holds", () => {
  const [error] = errorsOf(`listeners: [":8080"]\n${POOLS}"a\\rb\\u2028\\e[31m": off\n`);
  expect(error).toMatch(/^weir\.yaml:3:1: \S*a\S*rb\S*2028\S*\[31m\S*: unknown key/);
  expect(error).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}]/u);
});

test("all errors come at once, in the order of the file", () => {
  const text = `# a comment
listeners:
  - 8080
  - { bind: ":9000", tlss: off }
trustedProxys: [loopback]
limits:
  maxMessageSize: 64k
  onExceed: dely
  maxDelay: 30
routes:
  - match: { path: play }
    pool: caht
  - pol: chat
pools:
  chat:
    backends:
      - http://localhost:1
      - { url: "ws://localhost:1", weight: 0 }
  game: {}
`;
  expect(errorsOf(text)).toEqual([
    'weir.yaml:3:5: listeners[0]: a port alone needs a colon: write ":8080"',
    "weir.yaml:4:22: listeners[1].tlss: unknown key (did you mean tls?)",
    "weir.yaml:5:1: trustedProxys: unknown key (did you mean trustedProxies?)",
    'weir.yaml:7:19: limits.maxMessageSize: "64k" is not a size like 512B, 64KiB or 1MiB (units are powers of 1024: KiB, MiB, GiB), or off',
    'weir.yaml:8:13: limits.onExceed: "dely" is not one of delay, drop, close, log (did you mean delay?)',
    "weir.yaml:9:13: limits.maxDelay: 30 is not a duration like 500ms, 30s, 5m or 1h (a unit is missing: 30s or 30ms?)",
    'weir.yaml:11:20: routes[0].match.path: "play" is not a path: it begins with / or * and has no query',
    'weir.yaml:12:11: routes[0].pool: there is no pool "caht" (did you mean chat?)',
    "weir.yaml:13:5: routes[1].pool: is required",
    "weir.yaml:13:5: routes[1].pol: unknown key (did you mean pool?)",
    'weir.yaml:17:9: pools.chat.backends[0]: "http://localhost:1" must begin with ws:// (plain HTTP requests take the same way)',
    "weir.yaml:18:44: pools.chat.backends[1].weight: 0 is not a whole number from 1 to 1000",
    'weir.yaml:19:3: pools.game: has no backends: add backends: ["ws://localhost:3000"] or a backendsFile',
  ]);
});

test("a missing key is shown at its parent", () => {
  expect(errorsOf(POOLS)).toEqual(["weir.yaml:1:1: listeners: is required"]);
  expect(errorsOfLine("state: {}")).toEqual(["3:1: state.file: is required"]);
  expect(errorsOfLine("state:\n  fil: x")).toEqual([
    "3:1: state.file: is required",
    "4:3: state.fil: unknown key (did you mean file?)",
  ]);
});

describe("one key", () => {
  const cases: [line: string, ...errors: string[]][] = [
    ["limits: { queue: 5 }", "3:11: limits.queue: unknown key here; did you mean limits.upgrades.queue?"],
    ["log: { colour: blue }", "3:8: log.colour: unknown key; known here: level, format, access"],
    [
      "log: { level: verbose }",
      '3:15: log.level: "verbose" is not one of trace, debug, info, warn, error, silent',
    ],
    [
      "log: { level: wran }",
      '3:15: log.level: "wran" is not one of trace, debug, info, warn, error, silent (did you mean warn?)',
    ],
    ["log: 5", "3:6: log: 5 is not a mapping with level, format, access"],
    ["log: [info]", "3:6: log: a list is not a mapping with level, format, access"],
    ["state: none", '3:8: state: "none" is not a mapping with file; the word for none is off'],
    ["state: 5", "3:8: state: 5 is not a mapping with file, or off"],
    ["reload: { watch: yes }", '3:18: reload.watch: "yes" is not a switch: write on or off'],
    ["threads: many", '3:10: threads: "many" is neither auto nor a whole number from 1 to 256'],
    ["threads: 0", "3:10: threads: 0 is not a whole number from 1 to 256"],
    ["threads: 1.5", "3:10: threads: 1.5 is neither auto nor a whole number from 1 to 256"],
    ["limits: { maxHeaderSize: 2MiB }", '3:26: limits.maxHeaderSize: "2MiB" is above the maximum of 1MiB'],
    ["limits: { maxDelay: 0s }", '3:21: limits.maxDelay: "0s" is below the minimum of 1ms'],
    [
      "limits: { controlFrames: 5 }",
      "3:26: limits.controlFrames: 5 is not a rate like { rate: 20/s, burst: 40 }, or off",
    ],
    [
      "limits: { controlFrames: { rate: 5/s, bust: 3 } }",
      "3:39: limits.controlFrames.bust: unknown key (did you mean burst?)",
    ],
    [
      "limits: { maxConnections: -1 }",
      "3:27: limits.maxConnections: -1 is not a whole number from 1 to 100000000",
    ],
    ["trustedProxies: [10.0.0.0/33]", '3:18: trustedProxies[0]: "10.0.0.0/33" has a prefix above 32'],
    ["trustedProxies: loopback", '3:17: trustedProxies: "loopback" is not a list'],
    ["clientIpHeader: a b", '3:17: clientIpHeader: "a b" is not a header name'],
    ["reload: { maxRemoved: 120% }", '3:23: reload.maxRemoved: "120%" is above the maximum of 100%'],
    ["admin: { token: '' }", "3:17: admin.token: is empty; leave the key out or write off"],
    [
      "admin: { hosts: ['a:80'] }",
      '3:18: admin.hosts[0]: "a:80" is not a host name (without scheme and port)',
    ],
    [
      "tiers: { 'a b': { default: true } }",
      '3:10: tiers["a b"]: "a b" is not a name: it has letters, digits, "_", "-" and ".", and begins with a letter or digit',
    ],
    [
      "alerts: { webhook: 'https://hush:hush@x' }",
      "3:20: alerts.webhook: has a user or a password, which would not be sent, or off",
    ],
    ["alerts: { webhook: 'ftp://x' }", "3:20: alerts.webhook: is not an http:// or https:// URL, or off"],
    [
      "__proto__: { a: 1 }",
      "3:1: __proto__: unknown key; known here: listeners, threads, trustedProxies, clientIpHeader, identity, tiers, limits, routes, pools, timeouts, shutdown, reload, state, pidFile, admin, log, alerts",
    ],
  ];
  test.each(cases)("%s", (line, ...errors) => expect(errorsOfLine(line)).toEqual(errors));
});

describe("a route", () => {
  const cases: [route: string, error: string][] = [
    ["match: { host: 'a.com:80' }", 'match.host: "a.com:80" has a port; a route\'s host is without one'],
    [
      "match: { host: 'a*.com' }",
      'match.host: "a*.com" is not a host: write one like "example.com" or "*.example.com" (* is one whole label)',
    ],
    ["match: { path: '/a?b' }", 'match.path: "/a?b" is not a path: it begins with / or * and has no query'],
    [
      "origins: ['https://a.com/']",
      'origins[0]: "https://a.com/" has a path; an origin ends with its host or port',
    ],
    [
      "origins: ['a.com']",
      'origins[0]: "a.com" is not an origin: write one like "https://example.com", "https://*.example.com" or self',
    ],
    ["closeCodes: { idel: 4000 }", "closeCodes.idel: unknown key (did you mean idle?)"],
    [
      "closeCodes: { idle: 1006 }",
      "closeCodes.idle: 1006 cannot be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 can, or none",
    ],
    ["closeCodes: { idle: 999 }", "closeCodes.idle: 999 is not a whole number from 1000 to 4999"],
    [
      "closeCodes: { idle: off }",
      'closeCodes.idle: "off" is not a close code: write one from 1000 to 4999, or none',
    ],
    [
      "closeCodes: { client_lost: 4000 }",
      "closeCodes.client_lost: the client is gone or does not read then, and gets no code",
    ],
    [
      "headers: { set: { Upgrade: x } }",
      'headers.set.Upgrade: "upgrade" belongs to the handshake and cannot be changed',
    ],
    [
      "headers: { set: { Expect: 100-continue } }",
      'headers.set.Expect: "expect" is answered by Weir itself and cannot be changed',
    ],
    ["headers: { remove: [host] }", "headers.remove[0]: use hostHeader instead"],
    ['headers: { set: { a: "x\\r\\ny: z" } }', "headers.set.a: holds characters that a header cannot carry"],
    [
      "notices: { limited: '{{retryMs}}' }",
      "notices.limited: {{retryMs}} is unknown here; {{retryAfterMs}} is filled in",
    ],
    ["stripPrefix: /", "stripPrefix: takes nothing off: write off or a prefix like /chat"],
    [
      "messages: { rate: 20/s, onExceed: dorp }",
      'messages.onExceed: "dorp" is not one of delay, drop, close, log (did you mean drop?)',
    ],
    ["messages: { rate: 20/s, onExeed: drop }", "messages.onExeed: unknown key (did you mean onExceed?)"],
    ["messages: 5", "messages: 5 is not a rate like { rate: 20/s, burst: 40 }, or off"],
    ["messages: 5/x", 'messages: "5/x" is not a rate like 5/s or 300/m, or off'],
  ];
  test.each(cases)("%s", (route, error) => {
    const [found = "", ...more] = errorsOfLine(`routes: [{ pool: chat, ${route} }]`);
    expect(more).toEqual([]);
    expect(found.replace(/^3:\d+: routes\[0\]\./, "")).toBe(error);
  });
});

describe("identity", () => {
  const cases: [identity: string, error: string][] = [
    [
      "user: [{ cookie: uid }]",
      "user[0].cookie: clients can forge a cookie: add unsigned: true if that is acceptable",
    ],
    [
      "tier: [{ query: t }]",
      "tier[0].query: clients can forge a query parameter: add unsigned: true if that is acceptable",
    ],
    [
      "user: [{ header: a, cookie: b }]",
      "user[0]: needs exactly one of jwt, header, certificate, cookie, query",
    ],
    ["user: [{ header: a, unsigned: true }]", "user[0].unsigned: belongs to cookie and query only"],
    ["user: [name]", 'user[0]: "name" is not a source: write ip or a mapping like { header: x-user-id }'],
    ["user: []", "user: names no source, e.g. [ip]"],
    ["user: [{ jwt: sub }]", "user[0].jwt: needs identity.jwt, which says how tokens are checked"],
    ["user: [{ certificate: cn }]", "user[0].certificate: needs a listener with tls.clientCa"],
    ["jwt: {}", "jwt: needs exactly one of secret, publicKey and jwksUrl"],
    ["jwt: { secret: a, jwksUrl: 'https://a' }", "jwt: needs exactly one of secret, publicKey and jwksUrl"],
    ["jwt: { secret: a, algorithms: [RS256] }", "jwt.algorithms[0]: RS256 needs a publicKey, not a secret"],
    ["jwt: { publicKey: a, algorithms: [HS256] }", "jwt.algorithms[0]: HS256 needs a secret"],
    [
      "jwt: { secret: a, from: [header] }",
      'jwt.from[0]: "header" is not a place for a token: write bearer, subprotocol, { query: NAME } or { cookie: NAME }',
    ],
    ["jwt: { secret: a, from: [{ query: 5 }] }", "jwt.from[0].query: 5 is not text: put it in quotes"],
  ];
  test.each(cases)("%s", (identity, error) => {
    const [found = "", ...more] = errorsOfLine(`identity: { ${identity} }`);
    expect(more).toEqual([]);
    expect(found.replace(/^3:\d+: identity\./, "")).toBe(error);
  });
});

test("an error never repeats a secret", () => {
  const text =
    'listeners: [":1"]\npools: { a: { backends: ["ws://me:hunter2@b"] } }\nadmin: { token: "hunter2\\t" }';
  expect(errorsOf(text)).toHaveLength(2);
  expect(errorsOf(text).join("\n")).not.toContain("hunter2");
});
