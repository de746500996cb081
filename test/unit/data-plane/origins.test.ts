// Which origins a route lets in: lists with wildcards, `self`, and what looks like an allowed origin but is not.
import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import { isSiteOrigin, Origins } from "../../../src/data-plane/origins.ts";

const HOST = "chat.example.com";

function allows(origins: readonly string[], origin: string | undefined, authority = HOST): boolean {
  const pools = { chat: { backends: ["ws://a:1"] } };
  const routes = [{ pool: "chat", origins }];
  const result = parseConfig({ listeners: ["127.0.0.1:0"], pools, routes });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  const [route] = result.config.routes;
  return new Origins(result.config.routes).allow(route?.id ?? "", origin, authority);
}

test("a route without a list allows any origin", () => {
  expect(new Origins([]).allow("*/*", "https://evil.example", HOST)).toBe(true);
});

test("an upgrade without an Origin passes, also where the list is empty", () => {
  expect(allows([], undefined)).toBe(true);
  expect(allows(["https://example.com"], undefined)).toBe(true);
});

describe("an origin of the list passes", () => {
  test.each([
    ["https://example.com", "https://example.com"],
    ["https://example.com", "HTTPS://Example.COM"],
    ["https://example.com", "https://example.com:443"],
    ["https://example.com:443", "https://example.com"],
    ["http://example.com", "http://example.com:80"],
    ["https://example.com:8443", "https://example.com:8443"],
    ["https://*.example.com", "https://app.example.com"],
    ["https://*.*.example.com", "https://a.b.example.com"],
    ["https://app.*.com", "https://app.example.com"],
    ["http://*.localhost:3000", "http://a.localhost:3000"],
    ["http://[::1]:3000", "http://[::1]:3000"],
    ["chrome-extension://abcdef", "chrome-extension://abcdef"],
  ])("%s lets %s in", (pattern, origin) => expect(allows([pattern], origin)).toBe(true));
});

describe("an origin that only looks like it is refused", () => {
  test.each([
    ["https://example.com", "http://example.com"],
    ["https://example.com", "wss://example.com"],
    ["https://example.com", "https://example.com:8443"],
    ["https://example.com", "https://example.com:80"],
    ["https://example.com", "https://example.com."],
    ["https://example.com", "https://example.com.evil.example"],
    ["https://example.com", "https://evilexample.com"],
    ["https://example.com", "https://app.example.com"],
    ["https://example.com", "https://example.com/"],
    ["https://example.com", "https://example.com@evil.example"],
    ["https://example.com", "https://evil.example#https://example.com"],
    ["https://example.com", "https://evil.example, https://example.com"],
    ["https://example.com", "https://example.com https://evil.example"],
    ["https://example.com", " https://example.com"],
    ["https://example.com", "example.com"],
    ["https://example.com", "//example.com"],
    ["https://example.com", "null"],
    ["https://example.com", ""],
    ["https://example.com", "https://"],
    ["https://example.com", "https://exаmple.com"],
    ["https://*.example.com", "https://example.com"],
    ["https://*.example.com", "https://.example.com"],
    ["https://*.example.com", "https://a.b.example.com"],
    ["https://*.example.com", "https://evilexample.com"],
    ["https://*.example.com", "https://evil.example/.example.com"],
    ["https://*.example.com", "https://evil.example?.example.com"],
    ["https://*.example.com", "https://evil.example:1.example.com"],
    ["https://*.example.com", "https://evil@a.example.com"],
    ["https://*.example.com", "https://evil\\.example.com"],
    ["https://*.example.com", "https://evil%2f.example.com"],
    ["https://*.example.com", "https://a\u00ff.example.com"],
    ["http://[::1]", "http://::1"],
  ])("%s does not let %j in", (pattern, origin) => expect(allows([pattern], origin)).toBe(false));

  test.each(["https://example.com", "null", "https://chat.example.com"])(
    "an empty list refuses %s",
    (origin) => {
      expect(allows([], origin)).toBe(false);
    },
  );
});

describe("self is the host that the request was sent to", () => {
  test.each([
    ["https://chat.example.com", "chat.example.com", true],
    ["http://chat.example.com", "chat.example.com", true],
    ["https://chat.example.com", "chat.example.com:443", true],
    ["https://Chat.Example.com", "chat.EXAMPLE.com", true],
    ["http://localhost:8080", "localhost:8080", true],
    ["http://[::1]:8080", "[::1]:8080", true],
    ["http://localhost:3000", "localhost:8080", false],
    ["http://localhost", "localhost:8080", false],
    ["https://example.com", "chat.example.com", false],
    ["https://chat.example.com.evil.example", "chat.example.com", false],
    ["null", "null", false],
    ["https://x", "", false],
    ["https://", "", false],
    ["capacitor://localhost", "localhost", false],
    ["chrome-extension://chat", "chat", false],
    ["ftp://chat.example.com", "chat.example.com", false],
    ["wss://chat.example.com", "chat.example.com", false],
  ])("%s on %j: %s", (origin, authority, allowed) =>
    expect(allows(["self"], origin, authority)).toBe(allowed),
  );

  test("and stands beside others", () => {
    expect(allows(["https://a.example", "self"], "https://a.example")).toBe(true);
    expect(allows(["https://a.example", "self"], `https://${HOST}`)).toBe(true);
    expect(allows(["https://a.example", "self"], "https://b.example")).toBe(false);
  });
});

test.each([
  ["https://example.com", true],
  ["http://localhost:3000", true],
  ["null", false],
  ["https://example.com/path", false],
  ['https://"], evil', false],
  ["https://a\u001bb", false],
])("%j is worth proposing: %s", (origin, is) => expect(isSiteOrigin(origin)).toBe(is));
