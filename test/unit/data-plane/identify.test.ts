// Who a client is, by what its socket and its request say: which source wins, and whom it is believed.

import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig } from "../../../src/config/load.ts";
import { identify, type Client, locate } from "../../../src/data-plane/identify.ts";
import { MAX_IDENTITY_BYTES } from "../../../src/data-plane/identity-value.ts";
import { Settings } from "../../../src/data-plane/settings.ts";
import { Refusal } from "../../../src/errors.ts";

const TRUSTED = "10.0.0.1";
const STRANGER = "203.0.113.7";

const TIERS = { vip: {}, normal: {}, guest: { default: true } };

const header = { header: "x-user-id" };
const cookie = { cookie: "uid", unsigned: true };
const query = { query: "user", unsigned: true };

const JWT = { user: [{ jwt: "sub" }], jwt: { secret: "s" } };

interface Asked {
  readonly identity?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly peer?: string;
  readonly url?: string;
  /** Name, value, name, value …, one character a byte. */
  readonly headers?: readonly string[];
  /** Of the token that was verified. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Whom forward auth takes it for. */
  readonly service?: { readonly user?: string; readonly tier?: string };
}

describe("a user", () => {
  const all = { user: [header, cookie, query, "ip"] };
  type Row = [what: string, asked: Asked, user: string];

  const order: Row[] = [
    ["the header first", { headers: ["X-User-Id", "h", "Cookie", "uid=c"], url: "/?user=q" }, "h"],
    ["the cookie without a header", { headers: ["Cookie", "uid=c"], url: "/?user=q" }, "c"],
    ["the query without a cookie", { headers: ["Cookie", "other=c"], url: "/?user=q" }, "q"],
    ["the address without a query", { headers: ["X-Forwarded-For", STRANGER] }, `ip:${STRANGER}`],
    ["the next source for a value that is none", { headers: ["X-User-Id", "", "Cookie", "uid=c"] }, "c"],
    ["the next source for a forged address", { headers: ["X-User-Id", "ip:1.2.3.4"], url: "/?user=q" }, "q"],
  ];
  test.each(order)("is %s", (_, asked, user) => {
    expect(ask({ identity: all, peer: TRUSTED, ...asked }).user).toBe(user);
  });

  const ends: Row[] = [
    ["ip comes first", { identity: { user: ["ip", query] }, url: "/?user=q" }, `ip:${STRANGER}`],
    ["no source yields one, with ip or without", { identity: { user: [query] } }, `ip:${STRANGER}`],
    ["nothing is configured", { url: "/?user=q", headers: ["X-User-Id", "h"] }, `ip:${STRANGER}`],
    ["there is no token", { identity: JWT, url: "/?user=q" }, `ip:${STRANGER}`],
  ];
  test.each(ends)("is the address where %s", (_, asked, user) => expect(ask(asked).user).toBe(user));

  test("is the network of an IPv6 address", () => {
    expect(ask({ peer: "2001:db8:1:2:3:4:5:6" })).toMatchObject({
      user: "ip:2001:db8:1:2::/64",
      address: "2001:db8:1:2:3:4:5:6",
    });
    expect(ask({ peer: `::ffff:${STRANGER}` }).user).toBe(`ip:${STRANGER}`);
  });
});

describe("a header", () => {
  const identity = { user: [header, query], tier: [{ header: "x-user-tier" }] };
  const headers = ["X-User-Id", "ann", "X-User-Tier", "vip"];

  test.each([TRUSTED, `::ffff:${TRUSTED}`, ""])("is believed from the trusted peer %j", (peer) => {
    expect(ask({ identity, headers, peer })).toMatchObject({ user: "ann", tier: "vip" });
  });

  test("is not believed from others", () => {
    const asked = { identity, headers, peer: STRANGER };
    expect(ask(asked)).toMatchObject({ user: `ip:${STRANGER}`, tier: "guest" });
    expect(ask({ ...asked, url: "/?user=q" })).toMatchObject({ user: "q", tier: "guest" });
  });

  test("is not believed from a peer that a trusted one names", () => {
    const forwarded = [...headers, "X-Forwarded-For", TRUSTED];
    expect(ask({ identity, headers: forwarded, peer: STRANGER }).user).toBe(`ip:${STRANGER}`);
  });

  // A proxy that adds its line to the client's own, or its value to the client's, must not let it win.
  test.each([
    ["on two lines", ["X-User-Id", "mallory", "x-user-id", "ann"]],
    ["on two lines, one of them empty", ["X-User-Id", "", "X-User-Id", "ann"]],
    ["in a list", ["X-User-Id", "mallory, ann"]],
    ["with underscores", ["X_User_Id", "mallory"]],
  ])("counts as absent %s", (_, lines) => {
    expect(ask({ identity, headers: lines, peer: TRUSTED, url: "/?user=q" }).user).toBe("q");
  });

  test("is read as UTF-8", () => {
    const bytes = Buffer.from("jürgen").toString("latin1");
    expect(ask({ identity, headers: ["X-User-Id", bytes], peer: TRUSTED }).user).toBe("jürgen");
    expect(ask({ identity, headers: ["X-User-Id", "j\xfcrgen"], peer: TRUSTED }).user).toBe(`ip:${TRUSTED}`);
  });
});

describe("a cookie", () => {
  const identity = { user: [cookie] };
  test.each([
    ["of several the first", ["Cookie", "uid=a; uid=b", "Cookie", "uid=c"], "a"],
    ["on the second line", ["Cookie", "x=1", "Cookie", "y=2; uid=c"], "c"],
    ["decoded", ["Cookie", "uid=j%C3%BCrgen"], "jürgen"],
    ["as UTF-8", ["Cookie", "x=\xff; uid=j\xc3\xbcrgen"], "jürgen"],
  ])("is read, %s", (_, headers, user) => expect(ask({ identity, headers }).user).toBe(user));

  test("that comes second does not stand in for a first that cannot be used", () => {
    expect(ask({ identity, headers: ["Cookie", "uid=%00; uid=b"] }).user).toBe(`ip:${STRANGER}`);
  });
});

describe("a query parameter", () => {
  const identity = { user: [query] };
  type Row = [url: string, user: string | null];
  const rows: Row[] = [
    ["/chat?user=ann", "ann"],
    ["/chat?a=1&user=ann&user=bob", "ann"],
    ["/chat?us%65r=a%2Bb+c%26d", "a+b c&d"],
    ["/chat?user=j%C3%BCrgen", "jürgen"],
    ["ws://host/chat?user=ann", "ann"],
    ["/chat?user=ann#x", "ann"],
    ["/chat?user=ann?x", "ann?x"],
    ["/chat?user=100%", "100%"],
    ["/chat?user", null],
    ["/chat?user=&user=bob", null],
    ["/chat??user=ann", null],
    ["/chat#?user=ann", null],
    ["/user=ann", null],
    ["/chat?User=ann", null],
    ["/chat?user=%ff", null],
    ["/chat?user=a%00b", null],
    ["/chat?user=a%0d%0aX-Weir-Tier:%20vip", null],
    ["/chat?user=%20ann", null],
    ["/chat?user=ann+", null],
    ["/chat?user=%ED%A0%80", null],
    ["/chat?user=a%E2%80%A8b", null],
    ["/chat?user=ip:10.0.0.1", null],
    ["/chat?user=%69%70%3a10.0.0.1", null],
    [`/chat?user=${"%61".repeat(MAX_IDENTITY_BYTES)}`, "a".repeat(MAX_IDENTITY_BYTES)],
    [`/chat?user=${"%61".repeat(MAX_IDENTITY_BYTES + 1)}`, null],
  ];
  test.each(rows)("in %.60s names %.60j", (url, user) => {
    expect(ask({ identity, url }).user).toBe(user ?? `ip:${STRANGER}`);
  });
});

describe("a tier", () => {
  const identity = {
    tier: [{ header: "x-tier" }, { cookie: "plan", unsigned: true }, { query: "tier", unsigned: true }],
  };
  type Row = [what: string, asked: Asked, tier: string];
  const rows: Row[] = [
    ["of the header", { headers: ["X-Tier", "vip", "Cookie", "plan=normal"] }, "vip"],
    ["of the cookie", { headers: ["Cookie", "plan=normal"], url: "/?tier=vip" }, "normal"],
    ["of the query", { url: "/?tier=vip" }, "vip"],
    ["that nobody names", {}, "guest"],
    ["that does not exist", { url: "/?tier=platinum" }, "guest"],
    ["that does not exist, before one that does", { headers: ["X-Tier", "x"], url: "/?tier=vip" }, "guest"],
    ["of JavaScript's objects", { url: "/?tier=__proto__" }, "guest"],
    ["in other case", { url: "/?tier=VIP" }, "guest"],
  ];
  test.each(rows)("%s counts", (_, asked, tier) => {
    expect(ask({ identity, peer: TRUSTED, ...asked }).tier).toBe(tier);
  });

  test("of a header is not believed from others", () => {
    expect(ask({ identity, headers: ["X-Tier", "vip"] }).tier).toBe("guest");
  });
});

describe("whatever bytes a request holds", () => {
  const identity = { user: [header, cookie, query, "ip"], tier: [{ query: "tier", unsigned: true }] };
  const bytes = fc.oneof(
    fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
    // What decoders stumble over, put together at random.
    fc
      .array(fc.constantFrom("%", "%0a", "%00", "%ff", "%E2%80%A8", "ip:", "\0", "\xe2\x80\xa8", "a", "%20"))
      .map((parts) => parts.join("")),
    fc.string({ minLength: 200, maxLength: 2_000 }),
  );

  test("its user is one that is safe, bounded and no address of another", () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, fc.boolean(), (inHeader, inCookie, inQuery, isTrusted) => {
        const peer = isTrusted ? TRUSTED : STRANGER;
        const headers = ["X-User-Id", inHeader, "Cookie", `uid=${inCookie}`];
        const { user, tier } = ask({ identity, headers, peer, url: `/?user=${inQuery}&tier=${inQuery}` });
        expect(user).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]|^\s|\s$|^$/u);
        expect(Buffer.byteLength(user)).toBeLessThanOrEqual(MAX_IDENTITY_BYTES);
        expect(user.startsWith("ip:") ? user : `ip:${peer}`).toBe(`ip:${peer}`);
        expect(Object.keys(TIERS)).toContain(tier);
      }),
    );
  });
});

describe("a peer whose address is not known", () => {
  test("on a Unix socket is trusted", () => {
    const headers = ["X-User-Id", "ann", "X-Forwarded-For", STRANGER];
    expect(ask({ identity: { user: [header] }, headers, peer: "" })).toMatchObject({
      isPeerTrusted: true,
      address: STRANGER,
      user: "ann",
    });
  });

  test("on a TCP socket that was reset is refused as gone", () => {
    const { settings, request } = prepare({ identity: { user: [header] }, headers: ["X-User-Id", "ann"] });
    const reset = socketWith({ remoteAddress: undefined, localAddress: "10.0.0.9" });
    expect(() => locate(request, reset, settings)).toThrow(new Refusal("client_gone"));
  });
});

describe("a token", () => {
  const jwt = { secret: "s" };
  const identity = {
    user: [{ jwt: "sub" }, { header: "x-user-id" }, "ip"],
    tier: [{ jwt: "plan" }, { jwt: "https://example.com/plan" }],
    jwt,
  };

  type Row = [what: string, claims: Readonly<Record<string, unknown>>, user: string, tier: string];
  const rows: Row[] = [
    ["text", { sub: "ann", plan: "vip" }, "ann", "vip"],
    ["a number", { sub: 42 }, "42", "guest"],
    ["the largest number that counts", { sub: Number.MAX_SAFE_INTEGER }, "9007199254740991", "guest"],
    ["a URL for a name", { sub: "ann", "https://example.com/plan": "vip" }, "ann", "vip"],
    ["a tier that does not exist", { sub: "ann", plan: "platinum" }, "ann", "guest"],
  ];
  test.each(rows)("names user and tier by claims that are %s", (_, claims, user, tier) => {
    expect(ask({ identity, claims })).toMatchObject({ user, tier });
  });

  test.each([
    ["no claim", {}],
    ["null", { sub: null }],
    ["a switch", { sub: true }],
    ["a list", { sub: ["ann"] }],
    ["a mapping", { sub: { toString: "ann" } }],
    ["an empty text", { sub: "" }],
    // Two tokens that name two users, and both are read as this number.
    ["a number too large to be told from others", JSON.parse('{"sub":12345678901234567890}')],
    ["one that is just too large", JSON.parse('{"sub":9007199254740993}')],
    ["one too small", JSON.parse('{"sub":-9007199254740993}')],
    ["a fraction", { sub: 4.2 }],
    ["a number beyond all", JSON.parse('{"sub":1e999}')],
    ["an address", { sub: "ip:10.0.0.1" }],
    ["an address in capitals", { sub: "IP:10.0.0.1" }],
    ["a header", { sub: "ann\r\nX-Weir-Tier: vip" }],
    ["NUL", { sub: "a\0b" }],
    ["a lone surrogate", { sub: "a\ud800" }],
    ["too long", { sub: "x".repeat(MAX_IDENTITY_BYTES + 1) }],
  ])("names nobody by a claim that is %s", (_, claims) => {
    expect(ask({ identity, claims })).toMatchObject({ user: `ip:${STRANGER}`, tier: "guest" });
    const headers = ["X-User-Id", "bob"];
    expect(ask({ identity, claims, headers, peer: TRUSTED }).user).toBe("bob");
  });

  test.each(["constructor", "__proto__", "toString"])("has no claim %s unless it has", (name) => {
    expect(ask({ identity: { user: [{ jwt: name }], jwt }, claims: {} }).user).toBe(`ip:${STRANGER}`);
  });

  test("goes before a header of a trusted peer where it is named first", () => {
    const headers = ["X-User-Id", "bob"];
    expect(ask({ identity, claims: { sub: "ann" }, headers, peer: TRUSTED }).user).toBe("ann");
  });
});

describe("forward auth", () => {
  const headers = ["X-User-Id", "bob", "X-Tier", "normal"];
  const identity = { user: [header], tier: [{ header: "x-tier" }] };

  test("names user and tier before all sources", () => {
    const service = { user: "ann", tier: "vip" };
    const asked = { headers, peer: TRUSTED };
    expect(ask({ ...asked, identity, service })).toMatchObject({ user: "ann", tier: "vip" });
    expect(ask({ ...asked, service })).toMatchObject({ user: "ann", tier: "vip", isSharedAddress: false });
  });

  test("leaves what it does not name to the sources", () => {
    const asked = { identity, headers, peer: TRUSTED };
    expect(ask({ ...asked, service: { tier: "vip" } })).toMatchObject({ user: "bob", tier: "vip" });
    expect(ask({ ...asked, service: { user: "ann" } })).toMatchObject({ user: "ann", tier: "normal" });
  });

  test("that names a tier that does not exist means the default tier", () => {
    expect(ask({ identity, headers, peer: TRUSTED, service: { tier: "platinum" } }).tier).toBe("guest");
  });
});

describe("a user known by an address", () => {
  const forwarded = ["X-Forwarded-For", "192.0.2.9"];
  type Row = [what: string, asked: Asked, isShared: boolean];
  const rows: Row[] = [
    ["that connects itself", {}, false],
    ["behind a trusted proxy", { peer: TRUSTED, headers: forwarded }, false],
    ["that is a trusted peer's own", { peer: TRUSTED }, false],
    ["of an untrusted peer that forwards", { headers: forwarded }, true],
    ["of one that forwards in RFC 7239's words", { headers: ["forwarded", "for=192.0.2.9"] }, true],
    [
      "of one that forwards by the configured header",
      { headers: ["X-Real-IP", "192.0.2.9"], config: { clientIpHeader: "x-real-ip" } },
      true,
    ],
    ["of a Unix socket that forwards", { peer: "", headers: forwarded }, false],
    ["of a Unix socket that names none", { peer: "" }, true],
    ["of a Unix socket that names no address", { peer: "", headers: ["X-Forwarded-For", "unknown"] }, true],
  ];
  test.each(rows)("%s may be many clients: %j %s", (_, asked, isShared) => {
    expect(ask(asked).isSharedAddress).toBe(isShared);
  });

  test("is told from one with a name, whoever forwards it", () => {
    const asked = { identity: { user: [query] }, headers: forwarded, url: "/?user=ann" };
    expect(ask(asked)).toMatchObject({ user: "ann", isSharedAddress: false });
    expect(ask({ ...asked, peer: "" }).isSharedAddress).toBe(false);
  });
});

describe("the headers that only trusted peers may send", () => {
  test("are those that name the address and the identity, however they are spelled", () => {
    const identity = {
      user: [{ header: "X_User_Id" }, cookie],
      tier: [{ header: "X-Tier" }],
      forwardAuth: { url: "http://auth/ws", userHeader: "X-Auth-User", tierHeader: "X-Auth-Tier" },
    };
    const { settings } = prepare({ identity, config: { clientIpHeader: "X_Real_IP" } });
    const names = ["forwarded", "x-real-ip", "x-user-id", "x-tier", "x-auth-user", "x-auth-tier"];
    expect([...settings.trustedHeaders]).toEqual(names);
  });
});

function ask(asked: Asked): Client {
  const { settings, request } = prepare(asked);
  const peer = asked.peer ?? STRANGER;
  const isUnix = peer === "";
  const ends = {
    remoteAddress: isUnix ? undefined : peer,
    localAddress: isUnix ? undefined : "10.0.0.9",
  };
  const token = asked.claims === undefined ? null : { claims: asked.claims, expiresAtMs: null };
  const place = locate(request, socketWith(ends), settings);
  return identify(request, place, settings, { token, user: null, tier: null, ...asked.service });
}

function prepare({ identity = {}, config = {}, headers = [], url = "/" }: Asked) {
  const text = JSON.stringify({
    listeners: [":0"],
    trustedProxies: ["10.0.0.0/24"],
    tiers: TIERS,
    identity,
    pools: { chat: { backends: ["ws://localhost:1"] } },
    ...config,
  });
  const loaded = loadConfig({ text, file: "test.yaml", env: {} });
  if (!loaded.ok) throw new Error(loaded.errors.map((each) => formatProblem(each, "error")).join("\n"));
  const request = new IncomingMessage(new Socket());
  request.rawHeaders = [...headers];
  request.headers = { cookie: valuesOf(headers, "cookie").join("; ") };
  request.url = url;
  return { settings: new Settings(loaded.config), request };
}

/** Node's own parser is what makes `request.headers`; here there is none. */
function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name);
}

function socketWith(ends: Record<"remoteAddress" | "localAddress", string | undefined>): Socket {
  const socket = new Socket();
  for (const [name, value] of Object.entries(ends)) Object.defineProperty(socket, name, { value });
  return socket;
}
