// The head for the backend, as laws: whatever a client sends, some lines are never there, some always
// once, and the rest passes as it came.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import { backendHeaders, backendHost, backendPath } from "../../../src/data-plane/backend-headers.ts";
import { requestIdOf } from "../../../src/data-plane/request-id.ts";
import { parseTarget } from "../../../src/data-plane/routes.ts";
import { Settings } from "../../../src/data-plane/settings.ts";

interface Asked {
  readonly rawHeaders?: readonly string[];
  readonly isPeerTrusted?: boolean;
  readonly route?: Readonly<Record<string, unknown>>;
  readonly url?: string;
  readonly path?: string;
  readonly affinity?: string;
}

/** A route and a backend as the configuration makes them. */
function settingsFor({
  route = {},
  url = "ws://backend.example:81/base",
  affinity = "user",
}: Asked): Settings {
  const result = parseConfig({
    listeners: ["127.0.0.1:0"],
    pools: { chat: { affinity: { by: affinity }, backends: [{ id: "b", url }] } },
    routes: [{ pool: "chat", ...route }],
  });
  if (!result.ok) throw new Error(result.errors.map(({ message }) => message).join("; "));
  return new Settings(result.config);
}

function parts(asked: Asked) {
  const settings = settingsFor(asked);
  const dialTarget = settings.target("chat", "b");
  const [route] = settings.config.routes;
  if (dialTarget === undefined || route === undefined) throw new Error("the configuration is too small");
  return { settings, dialTarget, route };
}

/** The lines for the backend, as pairs. */
function linesFor(asked: Asked): [name: string, value: string][] {
  const { settings, dialTarget, route } = parts(asked);
  const rawHeaders = ["Host", "client.example", ...(asked.rawHeaders ?? [])];
  const headers = backendHeaders({
    rawHeaders,
    client: {
      peer: "192.0.2.1",
      isPeerTrusted: asked.isPeerTrusted ?? false,
      address: "192.0.2.1",
      user: "ip:192.0.2.1",
      isForwardedByStranger: false,
      isSharedAddress: false,
      network: "192.0.2.0/24",
      tier: "default",
      userSource: null,
      tierSource: null,
    },
    route,
    target: parseTarget(asked.path ?? "/", "client.example"),
    dialTarget,
    isSecure: false,
    localPort: 8080,
    trustedHeaders: settings.trustedHeaders,
    ownCookies: settings.affinityCookies,
    requestId: "the-id",
  });
  return headers.flatMap((name, i) => (i % 2 === 0 ? [[name, headers[i + 1] ?? ""]] : []));
}

function valuesOf(lines: readonly (readonly [string, string])[], name: string): string[] {
  return lines.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
}

const hopByHop = [
  "Connection",
  "Keep-Alive",
  "TE",
  "Trailer",
  "Transfer-Encoding",
  "Upgrade",
  "Proxy-Connection",
];
const own = ["X-Weir-User", "x-weir-tier", "X_WEIR_USER", "x_weir-tier"];
const forwarded = [
  "X-Forwarded-For",
  "x-forwarded-proto",
  "X-FORWARDED-HOST",
  "X-Forwarded-Port",
  "X-Forwarded-User",
  "X_Forwarded_For",
  "Forwarded",
];
const plain = [
  "Accept",
  "Cookie",
  "Origin",
  "X-One",
  "x-two",
  "Sec-WebSocket-Key",
  "Content-Length",
  "constructor",
];

function isPlain([name]: readonly [string, string]): boolean {
  return plain.includes(name);
}

const line = fc.tuple(
  fc.constantFrom(...hopByHop, ...own, ...forwarded, ...plain, "X-Request-Id"),
  fc.constantFrom("forged", "forged, twice", ""),
);

describe("backendHeaders", () => {
  test("holds no hop-by-hop line, and each of Weir's own exactly once", () => {
    fc.assert(
      fc.property(fc.array(line), fc.boolean(), (lines, isPeerTrusted) => {
        const result = linesFor({ rawHeaders: lines.flat(), isPeerTrusted });
        for (const name of hopByHop) expect(valuesOf(result, name.toLowerCase())).toEqual([]);
        expect(valuesOf(result, "host")).toEqual(["client.example"]);
        expect(valuesOf(result, "x-request-id")).toEqual(["the-id"]);
        expect(valuesOf(result, "x-weir-user")).toEqual(["ip:192.0.2.1"]);
        expect(valuesOf(result, "x-weir-tier")).toEqual(["default"]);
        for (const name of ["for", "proto", "host", "port"]) {
          expect(valuesOf(result, `x-forwarded-${name}`)).toHaveLength(1);
        }
        expect(result.some(([name]) => /^x[-_]weir[-_]/i.test(name) && name.includes("_"))).toBe(false);
      }),
    );
  });

  test("holds nothing of what an untrusted peer says of forwarding", () => {
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const result = linesFor({ rawHeaders: lines.flat() });
        expect(valuesOf(result, "x-forwarded-for")).toEqual(["192.0.2.1"]);
        expect(valuesOf(result, "x-forwarded-proto")).toEqual(["http"]);
        expect(valuesOf(result, "x-forwarded-host")).toEqual(["client.example"]);
        expect(valuesOf(result, "x-forwarded-port")).toEqual(["8080"]);
        const known = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];
        const others = result.map(([name]) => name.toLowerCase().replaceAll("_", "-"));
        expect(others.filter((name) => /^(?:x-)?forwarded/.test(name)).toSorted()).toEqual(known.toSorted());
      }),
    );
  });

  test("appends to what a trusted peer says, in the order of its lines", () => {
    const hops = fc.array(fc.constantFrom("10.0.0.1", "10.0.0.2, 10.0.0.3"), { minLength: 1 });
    fc.assert(
      fc.property(hops, (values) => {
        const rawHeaders = values.flatMap((value) => ["X-Forwarded-For", value]);
        const result = linesFor({ rawHeaders, isPeerTrusted: true });
        expect(valuesOf(result, "x-forwarded-for")).toEqual([[...values, "192.0.2.1"].join(", ")]);
      }),
    );
  });

  test("passes every other line as it came, in order", () => {
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        expect(linesFor({ rawHeaders: lines.flat() }).filter(isPlain)).toEqual(lines.filter(isPlain));
      }),
    );
  });

  test("leaves out what Connection names", () => {
    const rawHeaders = ["Connection", "x-one, Cookie, host, sec-websocket-key", "X-One", "1", "Cookie", "a"];
    const result = linesFor({ rawHeaders: [...rawHeaders, "Sec-WebSocket-Key", "k", "x-two", "2"] });
    expect(valuesOf(result, "x-one")).toEqual([]);
    expect(valuesOf(result, "cookie")).toEqual([]);
    expect(valuesOf(result, "host")).toEqual(["client.example"]);
    expect(valuesOf(result, "sec-websocket-key")).toEqual(["k"]);
    expect(valuesOf(result, "x-two")).toEqual(["2"]);
  });

  test("leaves out Weir's own cookie, and the line where nothing else is on it", () => {
    const rawHeaders = ["Cookie", "a=1; weir-chat=x; b=2", "Accept", "*/*", "cookie", "weir-chat=y"];
    const affine = linesFor({ rawHeaders, affinity: "cookie" });
    expect(valuesOf(affine, "cookie")).toEqual(["a=1; b=2"]);
    expect(valuesOf(affine, "accept")).toEqual(["*/*"]);
    const foreign = linesFor({ rawHeaders, affinity: "user" });
    expect(valuesOf(foreign, "cookie")).toEqual(["a=1; weir-chat=x; b=2", "weir-chat=y"]);
  });

  test("leaves out what Weir itself is expected to answer", () => {
    const result = linesFor({ rawHeaders: ["Expect", "100-continue", "X", "1", "expect", "more"] });
    expect(valuesOf(result, "expect")).toEqual([]);
    expect(valuesOf(result, "x")).toEqual(["1"]);
  });

  test("gives the route the last word, but on the Host", () => {
    const headers = {
      set: { "X-One": "set", "X-Forwarded-For": "hidden" },
      remove: ["cookie", "x-weir-tier"],
    };
    const rawHeaders = ["x-one", "1", "X-ONE", "2", "Cookie", "a", "constructor", "c"];
    const result = linesFor({ rawHeaders, route: { headers } });
    expect(valuesOf(result, "x-one")).toEqual(["set"]);
    expect(valuesOf(result, "x-forwarded-for")).toEqual(["hidden"]);
    expect(valuesOf(result, "cookie")).toEqual([]);
    expect(valuesOf(result, "x-weir-tier")).toEqual([]);
    expect(valuesOf(result, "constructor")).toEqual(["c"]);
  });

  test("takes the Host of an absolute target", () => {
    const result = linesFor({ path: "http://target.example:82/path" });
    expect(valuesOf(result, "host")).toEqual(["target.example:82"]);
    expect(valuesOf(result, "x-forwarded-host")).toEqual(["target.example:82"]);
  });
});

test.for([
  ["ws://a.example", "a.example"],
  ["ws://a.example:80", "a.example"],
  ["ws://a.example:443", "a.example:443"],
  ["wss://a.example:443/x", "a.example"],
  ["wss://a.example:80", "a.example:80"],
  ["ws://[::1]:9000", "[::1]:9000"],
  ["unix:/run/a.sock", "localhost"],
])("the backend %s is asked for the host %s", ([url = "", host]) => {
  expect(backendHost(parts({ url }).dialTarget)).toBe(host);
});

describe("backendPath", () => {
  test.for([
    ["ws://a:1", null, "/x?y", "/x?y"],
    ["ws://a:1/", null, "/", "/"],
    ["ws://a:1/base/", null, "/x", "/base/x"],
    ["ws://a:1/base", "/chat", "/chat/x", "/base/x"],
    ["ws://a:1/base", "/chat", "/chat", "/base/"],
    ["ws://a:1", "/chat", "/chat?x", "/?x"],
    ["ws://a:1", "/chat", "/chatter", "/chatter"],
    ["ws://a:1", "/chat", "/other/chat", "/other/chat"],
    ["ws://a:1", "/chat", "/%63hat/x", "/%63hat/x"],
  ] as const)("of %s without the prefix %s, asked for %s, is %s", ([url, stripPrefix, path, expected]) => {
    const { route, dialTarget } = parts({ url, route: stripPrefix === null ? {} : { stripPrefix } });
    expect(backendPath(route, parseTarget(path, "a"), dialTarget)).toBe(expected);
  });

  test("ends with the client's own path and query, whatever they are", () => {
    const { route, dialTarget } = parts({ url: "ws://a:1/base" });
    const tail = fc.string({ unit: fc.constantFrom("a", "/", "?", "=", "&", "%20", ";") });
    fc.assert(
      fc.property(tail, (text) => {
        expect(backendPath(route, parseTarget(`/${text}`, "a"), dialTarget)).toBe(`/base/${text}`);
      }),
    );
  });
});

function asking(ids: string | readonly string[] | undefined): { rawHeaders: string[] } {
  return { rawHeaders: [ids ?? []].flat().flatMap((id) => ["X-Request-ID", id]) };
}

describe("requestIdOf", () => {
  const visible = fc
    .string({ unit: "grapheme-ascii", minLength: 1, maxLength: 128 })
    .filter((id) => !id.includes(" "));

  test("keeps a trusted peer's id of visible ASCII", () => {
    fc.assert(
      fc.property(visible, (id) => {
        expect(requestIdOf(asking(id), true)).toBe(id);
      }),
    );
  });

  test("makes a new one for an untrusted peer, and for anything else", () => {
    const made = new Set<string>();
    let count = 0;
    fc.assert(
      fc.property(fc.oneof(visible, fc.constant(undefined)), (id) => {
        made.add(requestIdOf(asking(id), false));
        count += 1;
      }),
    );
    for (const id of [undefined, "", "a b", "x".repeat(129), "caf\u00e9", "a\tb", ["a", "b"]]) {
      made.add(requestIdOf(asking(id), true));
      count += 1;
    }
    expect(made.size).toBe(count);
    for (const id of made) expect(id).toMatch(/^[\x21-\x7e]{8,128}$/);
  });
});
