// Where a token is looked for, and what of the request is left when it is taken out.
import { describe, expect, test } from "vitest";

import type { TokenSource } from "../../../../src/config/schema-identity.ts";
import {
  findToken,
  withoutTokenProtocols,
  withoutTokens,
} from "../../../../src/data-plane/credentials/token-places.ts";
import { parseTarget } from "../../../../src/data-plane/routes.ts";

const bearer: TokenSource = { kind: "bearer", name: "" };
const query: TokenSource = { kind: "query", name: "access_token" };
const cookie: TokenSource = { kind: "cookie", name: "token" };
const subprotocol: TokenSource = { kind: "subprotocol", name: "" };
const all = [bearer, query, cookie, subprotocol];

function search(places: readonly TokenSource[], rawHeaders: readonly string[], url = "/") {
  const lines = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === "cookie");
  const headers = lines.length === 0 ? {} : { cookie: lines.join("; ") };
  const found = findToken(places, { rawHeaders: [...rawHeaders], headers, url });
  return found.kind === "token" ? found.token : found.kind;
}

describe("the Authorization header", () => {
  test.each([
    [["Authorization", "Bearer a.b.c"], "a.b.c"],
    [["authorization", "bEARER   a-._~+/b="], "a-._~+/b="],
    [[], "none"],
    [["Authorization", "Basic YTpi"], "none"],
    [["Authorization", "Bearerish a"], "none"],
    [["Authorization", ""], "none"],
    [["Authorization", "Bearer"], "unclear"],
    [["Authorization", "Bearer "], "unclear"],
    [["Authorization", "Bearer a b"], "unclear"],
    [["Authorization", "Bearer a", "Authorization", "Bearer b"], "unclear"],
    [["Authorization", "Bearer a, Basic b"], "unclear"],
    [["Authorization", "Basic b", "Authorization", "Bearer a"], "unclear"],
    [["Authorization", "Basic b", "X", "1", "authorization", "bearer"], "unclear"],
    [["Authorization", "Basic b", "Authorization", "Basic c"], "none"],
    [["Authorization", 'Bearer "a"'], "unclear"],
  ])("%j: %s", (headers, expected) => expect(search([bearer], headers)).toBe(expected));
});

describe("the query", () => {
  test.each([
    ["/?access_token=a.b.c", "a.b.c"],
    ["/?x=1&access%5Ftoken=a%2Eb", "a.b"],
    ["/?access_token=a#access_token=b", "a"],
    ["/", "none"],
    ["/?access_token=", "none"],
    ["/?access_token", "none"],
    ["/?Access_Token=a", "none"],
    ["/access_token=a", "none"],
    ["/#?access_token=a", "none"],
    ["/?access_token=a&access_token=b", "unclear"],
    ["/?access_token=a&access_token=", "unclear"],
  ])("%s: %s", (url, expected) => expect(search([query], [], url)).toBe(expected));
});

describe("a cookie", () => {
  test.each([
    [["Cookie", "a=1; token=a.b.c"], "a.b.c"],
    [["Cookie", "a=1", "Cookie", "token=x"], "x"],
    [["Cookie", "token=same; a=1; token=same"], "same"],
    [["Cookie", "token=; token=x"], "x"],
    [["Cookie", "token=first; token=second"], "unclear"],
    [["Cookie", "token=first", "Cookie", "token=second"], "unclear"],
    [["Cookie", "token=x; token=%ff"], "unclear"],
    [["Cookie", "token=%ff"], "unclear"],
    [["Cookie", "token="], "none"],
    [["Cookie", "xtoken=a"], "none"],
  ])("%j: %s", (headers, expected) => expect(search([cookie], headers)).toBe(expected));
});

describe("the subprotocols", () => {
  const name = "Sec-WebSocket-Protocol";
  test.each([
    [[name, "bearer, a.b.c, chat"], "a.b.c"],
    [[name, "bearer", name, "a.b.c"], "a.b.c"],
    [[name, "chat, bearer, t"], "t"],
    [[name, "chat"], "none"],
    [[name, "Bearer, t"], "none"],
    [[name, "bearer"], "unclear"],
    [[name, "chat, bearer"], "unclear"],
  ])("%j: %s", (headers, expected) => expect(search([subprotocol], headers)).toBe(expected));
});

test("the first place with anything in it counts, also where it is no token", () => {
  const headers = ["Authorization", "Bearer a", "Cookie", "token=c", "Sec-WebSocket-Protocol", "bearer, d"];
  const url = "/?access_token=b";
  expect(search(all, headers, url)).toBe("a");
  expect(search(all.toReversed(), headers, url)).toBe("d");
  expect(search([query, bearer], headers, url)).toBe("b");
  expect(search(all, ["Authorization", "Bearer a b", ...headers.slice(2)], url)).toBe("unclear");
  expect(search(all, ["Authorization", "Basic a", ...headers.slice(2)], url)).toBe("b");
});

function left(places: readonly TokenSource[], rawHeaders: readonly string[], url = "/") {
  const head = withoutTokens(places, { rawHeaders, target: parseTarget(url, "a") });
  return [head.target.rawPath, ...head.rawHeaders];
}

describe("what goes on to the backend", () => {
  test.each([
    ["/?access_token=a", "/"],
    ["/p?x=1&access_token=a&y=%20+2", "/p?x=1&y=%20+2"],
    ["/p?access_token=a&access_token=b&x", "/p?x"],
    ["/p?access%5ftoken=a&&x=", "/p?&x="],
    ["/p?x=access_token&y", "/p?x=access_token&y"],
    ["/p?", "/p?"],
    ["/access_token=a", "/access_token=a"],
  ])("is %s as %s", (url, expected) => expect(left([query], [], url)).toEqual([expected]));

  test("has neither of a token's two subprotocols", () => {
    const name = "Sec-WebSocket-Protocol";
    expect(left([subprotocol], ["A", "1", name, "bearer, t, chat, v2", "B", "2"])).toEqual([
      "/",
      "A",
      "1",
      "B",
      "2",
      name,
      "chat, v2",
    ]);
    expect(left([subprotocol], [name, "bearer", "A", "1", name, "t"])).toEqual(["/", "A", "1"]);
    expect(left([subprotocol], [name, "chat", name, "v2"])).toEqual(["/", name, "chat", name, "v2"]);
  });

  test("keeps what is no place for a token here", () => {
    const headers = ["Authorization", "Bearer a", "Cookie", "token=b", "Sec-WebSocket-Protocol", "bearer, t"];
    const url = "/?access_token=a";
    expect(left([bearer, cookie], headers, url)).toEqual([url, ...headers]);
    expect(left(all, headers, url)).toEqual(["/", ...headers.slice(0, 4)]);
  });
});

test("a token's two are no subprotocols to select", () => {
  expect(withoutTokenProtocols(["bearer", "t", "chat"])).toEqual(["chat"]);
  expect(withoutTokenProtocols(["chat", "bearer", "t"])).toEqual(["chat"]);
  expect(withoutTokenProtocols(["bearer", "t"])).toEqual([]);
  expect(withoutTokenProtocols(["chat"])).toEqual(["chat"]);
});
