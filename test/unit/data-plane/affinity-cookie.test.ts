// Weir's own cookie: whose value is asked for, which values count, and the line that sets one.

import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/config/load.ts";
import {
  affinityCookie,
  affinityCookieNames,
  affinitySetCookie,
} from "../../../src/data-plane/affinity-cookie.ts";

const backends = ["ws://localhost:1"];

/** The names of these pools' cookies; `chat` and `game.v2` have one. */
const NAMES = namesOf({
  chat: { affinity: { by: "cookie" }, backends },
  "game.v2": { affinity: { by: "cookie", ttl: "5m" }, backends },
  news: { affinity: { by: "user" }, backends },
  plain: { affinity: "off", backends },
  usual: { backends },
});

test("only a pool with affinity by cookie has one, named after it", () => {
  expect([...NAMES]).toEqual(["weir-chat", "weir-game.v2"]);
});

describe("the value that counts", () => {
  type Row = [header: string | null, pool: string, value: string | null];
  const rows: Row[] = [
    ["weir-chat=abc_DEF-123", "chat", "abc_DEF-123"],
    ["a=1; weir-chat=x; weir-game.v2=y", "chat", "x"],
    ["a=1; weir-chat=x; weir-game.v2=y", "game.v2", "y"],
    ["weir-chat=first; weir-chat=second", "chat", "first"],
    [`weir-chat=${"x".repeat(64)}`, "chat", "x".repeat(64)],
    [null, "chat", null],
    ["weir-game.v2=y", "chat", null],
    ["weir-news=x; weir-plain=x; weir-usual=x", "news", null],
    ["weir-news=x; weir-plain=x; weir-usual=x", "plain", null],
    ["weir-news=x; weir-plain=x; weir-usual=x", "usual", null],
    // What we never made.
    ["weir-chat=", "chat", null],
    [`weir-chat=${"x".repeat(65)}`, "chat", null],
    ["weir-chat=a b", "chat", null],
    ["weir-chat=a%0ab", "chat", null],
    ["weir-chat=a.b", "chat", null],
    ["weir-chat=j\xfcrgen", "chat", null],
    ["weir-chat=%ff; weir-chat=second", "chat", null],
  ];
  test.each(rows)("of %.40j for the pool %s is %.40j", (header, pool, value) => {
    const headers = header === null ? {} : { cookie: header };
    expect(affinityCookie({ headers }, pool, NAMES)).toBe(value);
  });
});

describe("the line that sets it", () => {
  const line = "weir-chat=abc; Path=/; HttpOnly; SameSite=Lax";

  test("is none where the grant asks for none", () => {
    expect(lineFor({ cookie: null })).toBeNull();
  });

  type Row = [what: string, asked: Asked, line: string];
  const rows: Row[] = [
    ["a plain connection", {}, line],
    ["TLS", { isEncrypted: true }, `${line}; Secure`],
    ["TLS that a trusted proxy ends", { isPeerTrusted: true, protocols: ["https"] }, `${line}; Secure`],
    ["the same, named as of a WebSocket", { isPeerTrusted: true, protocols: ["WSS"] }, `${line}; Secure`],
    ["no TLS behind a trusted proxy", { isPeerTrusted: true, protocols: ["http"] }, line],
    ["two words of a trusted proxy", { isPeerTrusted: true, protocols: ["https", "http"] }, line],
    ["the word of an untrusted one", { protocols: ["https"] }, line],
  ];
  test.each(rows)("is right for %s", (_, asked, expected) => expect(lineFor(asked)).toBe(expected));
});

interface Asked {
  readonly cookie?: string | null;
  readonly isEncrypted?: boolean;
  readonly isPeerTrusted?: boolean;
  /** Lines of X-Forwarded-Proto. */
  readonly protocols?: readonly string[];
}

function lineFor({ cookie = "abc", isEncrypted = false, isPeerTrusted = false, protocols = [] }: Asked) {
  const request = new IncomingMessage(Object.assign(new Socket(), { encrypted: isEncrypted }));
  request.rawHeaders = protocols.flatMap((protocol) => ["X-Forwarded-Proto", protocol]);
  return affinitySetCookie({ pool: "chat", cookie }, request, { isPeerTrusted });
}

function namesOf(pools: Readonly<Record<string, unknown>>): ReadonlySet<string> {
  const result = parseConfig({ listeners: [":0"], routes: [{ pool: "chat" }], pools });
  if (!result.ok) throw new Error(result.errors.map(({ message }) => message).join("; "));
  return affinityCookieNames(result.config);
}
