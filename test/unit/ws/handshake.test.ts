// The opening handshake: one line per way in which a request or a response can be wrong.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  acceptKey,
  checkUpgradeRequest,
  checkUpgradeResponse,
  isWebSocketUpgrade,
  parseExtensions,
  parseTokenList,
  reservedBitsFor,
  type UpgradeResponse,
} from "../../../src/ws/handshake.ts";

type Header = [name: string, value: string];

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const goodRequest: Header[] = [
  ["Host", "server.example.com"],
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Key", KEY],
  ["Sec-WebSocket-Version", "13"],
];

const goodResponse: Header[] = [
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Accept", ACCEPT],
];

function without(headers: readonly Header[], name: string): Header[] {
  return headers.filter(([candidate]) => candidate !== name);
}

function withHeader(headers: readonly Header[], ...[name, value]: Header): Header[] {
  return [...without(headers, name), [name, value]];
}

function checkRequest(headers: readonly Header[], line = { method: "GET", httpVersion: "1.1" }) {
  return checkUpgradeRequest({ ...line, rawHeaders: headers.flat() });
}

describe("acceptKey", () => {
  test("answers the example of RFC 6455 §1.3", () => {
    expect(acceptKey(KEY)).toBe(ACCEPT);
  });
});

describe("isWebSocketUpgrade", () => {
  test.each(["websocket", "WebSocket", "h2c, websocket", "websocket , foo"])("sees %j", (upgrade) => {
    expect(isWebSocketUpgrade({ rawHeaders: ["Upgrade", upgrade] })).toBe(true);
  });

  test.each([undefined, "", "h2c", "websockets", "web socket", "websocket/13", "x;websocket"])(
    "does not see %j",
    (upgrade) => {
      expect(isWebSocketUpgrade({ rawHeaders: upgrade === undefined ? [] : ["Upgrade", upgrade] })).toBe(
        false,
      );
    },
  );
});

describe("checkUpgradeRequest accepts", () => {
  const good: [name: string, headers: Header[]][] = [
    ["the least that RFC 6455 §4.1 asks for", goodRequest],
    ["header names in any case", goodRequest.map(([name, value]) => [name.toUpperCase(), value])],
    ["Connection with more tokens", withHeader(goodRequest, "Connection", "keep-alive, Upgrade")],
    ["Connection on two lines", [["Connection", "keep-alive"], ...goodRequest]],
    ["Upgrade with more tokens", withHeader(goodRequest, "Upgrade", "h2c, WebSocket")],
    ["an empty body announced", withHeader(goodRequest, "Content-Length", "0")],
    ["subprotocols", withHeader(goodRequest, "Sec-WebSocket-Protocol", "chat, superchat")],
    [
      "subprotocols on two lines",
      [...goodRequest, ["Sec-WebSocket-Protocol", "chat"], ["sec-websocket-protocol", "Chat"]],
    ],
    [
      "extensions",
      withHeader(goodRequest, "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, foo"),
    ],
    ["no extensions, said aloud", withHeader(goodRequest, "Sec-WebSocket-Extensions", "")],
  ];

  test.each(good)("%s", (_name, headers) => {
    expect(checkRequest(headers)).toBeNull();
  });
});

describe("checkUpgradeRequest refuses", () => {
  const bad: [name: string, headers: Header[]][] = [
    ["no Host", without(goodRequest, "Host")],
    ["two Hosts", [...goodRequest, ["host", "server.example.com"]]],
    ["an empty Host", withHeader(goodRequest, "Host", "")],
    ["no Upgrade", without(goodRequest, "Upgrade")],
    ["another Upgrade", withHeader(goodRequest, "Upgrade", "h2c")],
    ["no Connection", without(goodRequest, "Connection")],
    ["a Connection that does not name Upgrade", withHeader(goodRequest, "Connection", "keep-alive")],
    ["a Connection that is no list", withHeader(goodRequest, "Connection", "keep alive, upgrade")],
    ["no key", without(goodRequest, "Sec-WebSocket-Key")],
    ["two keys", [...goodRequest, ["Sec-WebSocket-Key", KEY]]],
    ["an empty key", withHeader(goodRequest, "Sec-WebSocket-Key", "")],
    ["a key of 15 bytes", withHeader(goodRequest, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j")],
    ["a key of 17 bytes", withHeader(goodRequest, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWE=")],
    ["a key in the URL's alphabet", withHeader(goodRequest, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25_ZQ==")],
    ["a key without padding", withHeader(goodRequest, "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")],
    ["two keys on one line", withHeader(goodRequest, "Sec-WebSocket-Key", `${KEY}, ${KEY}`)],
    ["no version", without(goodRequest, "Sec-WebSocket-Version")],
    ["an empty version", withHeader(goodRequest, "Sec-WebSocket-Version", "")],
    ["two versions", [...goodRequest, ["Sec-WebSocket-Version", "13"]]],
    ["a body", withHeader(goodRequest, "Content-Length", "5")],
    ["a length that is no number", withHeader(goodRequest, "Content-Length", "-0")],
    [
      "a body announced once of two times",
      [...goodRequest, ["Content-Length", "0"], ["Content-Length", "5"]],
    ],
    ["a chunked body", withHeader(goodRequest, "Transfer-Encoding", "chunked")],
    ["an identity transfer encoding", withHeader(goodRequest, "Transfer-Encoding", "identity")],
    ["an empty subprotocol list", withHeader(goodRequest, "Sec-WebSocket-Protocol", "")],
    ["a subprotocol that is no token", withHeader(goodRequest, "Sec-WebSocket-Protocol", "chat, a b")],
    ["a subprotocol named twice", withHeader(goodRequest, "Sec-WebSocket-Protocol", "chat, chat")],
    [
      "a subprotocol named twice on two lines",
      [...goodRequest, ["Sec-WebSocket-Protocol", "chat"], ["Sec-WebSocket-Protocol", "chat"]],
    ],
    ["extensions without a name", withHeader(goodRequest, "Sec-WebSocket-Extensions", ";a")],
  ];

  test.each(bad)("%s", (_name, headers) => {
    expect(checkRequest(headers)).toMatchObject({ code: "bad_upgrade", status: 400 });
  });

  test.each([
    { method: "POST", httpVersion: "1.1" },
    { method: "get", httpVersion: "1.1" },
    { method: "GET", httpVersion: "1.0" },
    { method: "GET", httpVersion: "2.0" },
  ])("$method by HTTP/$httpVersion", (line) => {
    expect(checkRequest(goodRequest, line)).toMatchObject({ code: "bad_upgrade", status: 400 });
  });

  test.each(["8", "0", "12", "14", "013", "13.0", "x", "13, 8"])("version %j with a 426", (version) => {
    const fault = checkRequest(withHeader(goodRequest, "Sec-WebSocket-Version", version));
    expect(fault).toMatchObject({ code: "bad_upgrade", status: 426 });
  });

  test("without repeating what the client sent", () => {
    fc.assert(
      fc.property(fc.constantFrom(...goodRequest), fc.uuid(), ([name], secret) => {
        const fault = checkRequest(withHeader(goodRequest, name, `${secret},(`));
        expect(fault?.message ?? "").not.toContain(secret);
      }),
    );
  });
});

describe("checkUpgradeResponse", () => {
  function check(headers: readonly Header[], rest: Partial<UpgradeResponse> = {}): string | null {
    return checkUpgradeResponse({
      statusCode: 101,
      rawHeaders: headers.flat(),
      key: KEY,
      offeredProtocols: undefined,
      offeredExtensions: undefined,
      ...rest,
    });
  }

  const deflate = "permessage-deflate";
  const offer = {
    offeredProtocols: "chat, superchat",
    offeredExtensions: `${deflate}; client_max_window_bits`,
  };

  test("accepts the example of RFC 6455 §1.3", () => {
    expect(check(goodResponse)).toBeNull();
  });

  const good: [name: string, headers: Header[]][] = [
    ["nothing of what was offered", goodResponse],
    ["a subprotocol", withHeader(goodResponse, "Sec-WebSocket-Protocol", "superchat")],
    [
      "an extension",
      withHeader(goodResponse, "Sec-WebSocket-Extensions", `${deflate}; server_max_window_bits=10`),
    ],
    ["no extension, said aloud", withHeader(goodResponse, "Sec-WebSocket-Extensions", "")],
  ];

  test.each(good)("accepts %s", (_name, headers) => {
    expect(check(headers, offer)).toBeNull();
  });

  const bad: [name: string, headers: Header[], rest: Partial<UpgradeResponse>, fault: string][] = [
    ["another status", goodResponse, { statusCode: 200 }, "status 200, not 101"],
    ["no Upgrade", without(goodResponse, "Upgrade"), {}, "upgrade does not name websocket"],
    ["another Upgrade", withHeader(goodResponse, "Upgrade", "h2c"), {}, "upgrade does not name websocket"],
    ["no Connection", without(goodResponse, "Connection"), {}, "connection does not name upgrade"],
    [
      "another Connection",
      withHeader(goodResponse, "Connection", "close"),
      {},
      "connection does not name upgrade",
    ],
    [
      "no accept value",
      without(goodResponse, "Sec-WebSocket-Accept"),
      {},
      "sec-websocket-accept does not match the key",
    ],
    [
      "the accept value of another key",
      goodResponse,
      { key: "AAAAAAAAAAAAAAAAAAAAAA==" },
      "sec-websocket-accept does not match the key",
    ],
    [
      "an accept value in another case",
      withHeader(goodResponse, "Sec-WebSocket-Accept", ACCEPT.toLowerCase()),
      {},
      "sec-websocket-accept does not match the key",
    ],
    [
      "two accept values",
      [...goodResponse, ["Sec-WebSocket-Accept", ACCEPT]],
      {},
      "sec-websocket-accept does not match the key",
    ],
    [
      "a subprotocol where none was offered",
      withHeader(goodResponse, "Sec-WebSocket-Protocol", "chat"),
      {},
      "sec-websocket-protocol was not offered",
    ],
    [
      "a subprotocol that was not offered",
      withHeader(goodResponse, "Sec-WebSocket-Protocol", "Chat"),
      offer,
      "sec-websocket-protocol was not offered",
    ],
    [
      "two of the subprotocols offered",
      withHeader(goodResponse, "Sec-WebSocket-Protocol", "chat, superchat"),
      offer,
      "sec-websocket-protocol was not offered",
    ],
    [
      "an empty subprotocol",
      withHeader(goodResponse, "Sec-WebSocket-Protocol", ""),
      offer,
      "sec-websocket-protocol was not offered",
    ],
    [
      "an extension where none was offered",
      withHeader(goodResponse, "Sec-WebSocket-Extensions", deflate),
      {},
      "sec-websocket-extensions was not offered",
    ],
    [
      "an extension that was not offered",
      withHeader(goodResponse, "Sec-WebSocket-Extensions", `${deflate}, foo`),
      offer,
      "sec-websocket-extensions was not offered",
    ],
    [
      "malformed extensions",
      withHeader(goodResponse, "Sec-WebSocket-Extensions", `${deflate};`),
      offer,
      "sec-websocket-extensions is malformed",
    ],
  ];

  test.each(bad)("refuses %s", (_name, headers, rest, fault) => {
    expect(check(headers, rest)).toBe(fault);
  });
});

describe("parseTokenList", () => {
  const lists: [value: string, tokens: string[] | null][] = [
    ["", []],
    ["chat", ["chat"]],
    ["chat,superchat", ["chat", "superchat"]],
    [" chat ,\tsuperchat ", ["chat", "superchat"]],
    [",chat,,v1.2~x,", ["chat", "v1.2~x"]],
    ["a b", null],
    ["a;b", null],
    ['"a"', null],
    ["ä", null],
  ];

  test.each(lists)("reads %j as %j", (value, tokens) => {
    expect(parseTokenList(value)).toEqual(tokens);
  });
});

describe("parseExtensions", () => {
  test("reads names, parameters and quoted values", () => {
    expect(parseExtensions('foo, permessage-deflate ; a;b = 1 ; c="x\\y",, bar;d')).toEqual([
      { name: "foo", parameters: [] },
      {
        name: "permessage-deflate",
        parameters: [
          { name: "a", value: null },
          { name: "b", value: "1" },
          { name: "c", value: "xy" },
        ],
      },
      { name: "bar", parameters: [{ name: "d", value: null }] },
    ]);
  });

  test.each(["", " ", ",", " ,\t, "])("reads %j as none", (value) => {
    expect(parseExtensions(value)).toEqual([]);
  });

  test.each([
    "foo;",
    "foo;;a",
    ";a",
    "foo=1",
    "foo bar",
    "foo;a=",
    'foo;a="',
    'foo;a=""',
    'foo;a="b c"',
    "foo;a=b c",
    "f(o",
  ])("refuses %j", (value) => {
    expect(parseExtensions(value)).toBeNull();
  });

  test("reads back any list written out", () => {
    const token = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8}$/);
    const parameter = fc.record({ name: token, value: fc.option(token) });
    const extension = fc.record({ name: token, parameters: fc.array(parameter, { maxLength: 3 }) });
    fc.assert(
      fc.property(fc.array(extension, { maxLength: 4 }), fc.boolean(), (extensions, quoted) => {
        const mark = quoted ? '"' : "";
        const written = extensions.map(({ name, parameters }) =>
          [
            name,
            ...parameters.map(({ name, value }) =>
              value === null ? name : `${name}=${mark}${value}${mark}`,
            ),
          ].join("; "),
        );
        expect(parseExtensions(written.join(", "))).toEqual(extensions);
      }),
      { numRuns: 500 },
    );
  });
});

describe("reservedBitsFor", () => {
  const headers: [header: string | undefined, bits: number][] = [
    [undefined, 0x00],
    ["", 0x00],
    ["permessage-deflate", 0x40],
    ["permessage-deflate; server_no_context_takeover; client_max_window_bits=12", 0x40],
    ["foo", 0x70],
    ["permessage-deflate, foo", 0x70],
    ["permessage-deflate;", 0x70],
  ];

  test.each(headers)("gives %j the bits %i", (header, bits) => {
    expect(reservedBitsFor(header)).toBe(bits);
  });
});
