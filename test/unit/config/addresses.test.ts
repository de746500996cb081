// Bind addresses, CIDR blocks and backend URLs.

import { BlockList } from "node:net";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AddressError,
  defaultBackendId,
  isLoopback,
  parseBackendUrl,
  parseBind,
} from "../../../src/config/addresses.ts";
import { parseBlock } from "../../../src/config/cidr.ts";

describe("parseBind", () => {
  const accepted: [text: string, host: string, port: number, loopback: boolean][] = [
    [":8080", "", 8080, false],
    ["*:8080", "", 8080, false],
    ["127.0.0.1:0", "127.0.0.1", 0, true],
    ["127.8.8.8:1", "127.8.8.8", 1, true],
    ["0.0.0.0:80", "0.0.0.0", 80, false],
    ["[::1]:8080", "::1", 8080, true],
    ["[::]:8080", "::", 8080, false],
    ["localhost:8080", "localhost", 8080, true],
    ["chat_1.internal:8080", "chat_1.internal", 8080, false],
  ];
  test.each(accepted)("reads %s", (text, host, port, loopback) => {
    const bind = parseBind(text);
    expect(bind).toEqual({ kind: "tcp", host, port, text });
    expect(isLoopback(bind)).toBe(loopback);
  });

  test("reads a Unix socket, which only this machine reaches", () => {
    const bind = parseBind("unix:/run/weir.sock");
    expect(bind).toEqual({ kind: "unix", path: "/run/weir.sock", text: "unix:/run/weir.sock" });
    expect(isLoopback(bind)).toBe(true);
  });

  const refused: [text: string, message: RegExp][] = [
    ["8080", /a port alone needs a colon: write ":8080"/],
    ["localhost", /has no port from 0 to 65535/],
    [":65536", /has no port from 0 to 65535/],
    [":http", /has no port from 0 to 65535/],
    ["::1:8080", /an IPv6 address needs brackets/],
    ["[127.0.0.1]:80", /has no IPv6 address in its brackets/],
    ["[::1]", /has no port from 0 to 65535/],
    ["http://localhost:80", /is a URL/],
    ["a b:80", /has no valid host/],
    ["unix:", /names no socket/],
    ["", /has no port/],
  ];
  test.each(refused)("refuses %j", (text, message) => {
    expect(() => parseBind(text)).toThrow(AddressError);
    expect(() => parseBind(text)).toThrow(message);
  });
});

describe("parseBackendUrl", () => {
  const accepted: [url: string, id: string, target: object][] = [
    ["ws://10.0.0.1:3000", "10.0.0.1:3000", { host: "10.0.0.1", port: 3000 }],
    ["ws://chat", "chat:80", { host: "chat", port: 80 }],
    [
      "WSS://Chat.Internal:8443/base/",
      "chat.internal:8443",
      { secure: true, host: "chat.internal", port: 8443, basePath: "/base" },
    ],
    ["wss://chat/", "chat:443", { secure: true, host: "chat", port: 443 }],
    ["ws://[::1]:3000/a/b", "[::1]:3000", { host: "::1", port: 3000, basePath: "/a/b" }],
    ["unix:/run/chat.sock", "/run/chat.sock", { socketPath: "/run/chat.sock" }],
    ["ws+unix:/run/chat.sock:/base", "/run/chat.sock", { socketPath: "/run/chat.sock", basePath: "/base" }],
    ["ws+unix:///run/chat.sock", "/run/chat.sock", { socketPath: "/run/chat.sock" }],
    ["wss+unix:./chat.sock", "./chat.sock", { secure: true, socketPath: "./chat.sock" }],
  ];
  test.each(accepted)("reads %s, called %s", (url, id, expected) => {
    const target = parseBackendUrl(url);
    expect(target).toEqual({ secure: false, host: "", port: 0, socketPath: null, basePath: "", ...expected });
    expect(defaultBackendId(target)).toBe(id);
  });

  const refused: [url: string, message: RegExp][] = [
    ["http://chat:80", /must begin with ws:\/\//],
    ["https://chat", /must begin with wss:\/\//],
    ["chat:3000", /is not a backend URL/],
    ["10.0.0.1:3000", /is not a backend URL/],
    ["ws:chat", /is not a backend URL/],
    ["ws://", /is not a backend URL/],
    ["ws://chat:99999", /is not a backend URL/],
    ["ws://chat:0", /has port 0/],
    ["ws://chat/?a=b", /has no query or fragment/],
    ["ws://chat/#a", /has no query or fragment/],
    ["ws+unix:/a.sock:base", /does not begin with \//],
    ["ws+unix:/a.sock:/b?c", /has no query or fragment/],
    ["unix:", /names no socket/],
    ["", /is not a backend URL/],
  ];
  test.each(refused)("refuses %j", (url, message) => {
    expect(() => parseBackendUrl(url)).toThrow(AddressError);
    expect(() => parseBackendUrl(url)).toThrow(message);
  });

  test.each([
    "ws://user:hunter2@chat",
    "wsx://user:hunter2@chat",
    "ws:user:hunter2@chat",
    "user:hunter2@chat",
  ])("never repeats the password of %j", (url) => {
    expect(() => parseBackendUrl(url)).toThrow(/^a backend URL cannot hold a user or password$/);
  });

  test("never repeats a query", () => {
    expect(() => parseBackendUrl("wss://chat/?key=hunter2")).toThrow(/^(?!.*hunter2)/);
  });

  test("takes an @ in a path", () => {
    expect(parseBackendUrl("ws://chat/@app")).toMatchObject({ host: "chat", basePath: "/@app" });
    expect(parseBackendUrl("unix:/@chat.sock")).toMatchObject({ socketPath: "/@chat.sock" });
  });
});

describe("parseBlock", () => {
  const accepted: [text: string, blocks: string[]][] = [
    ["10.1.2.3/8", ["10.0.0.0/8"]],
    ["192.168.1.7", ["192.168.1.7/32"]],
    ["0.0.0.0/0", ["0.0.0.0/0"]],
    ["FD00:0:0::1/8", ["fd00::/8"]],
    ["2001:db8::ff00:42:8329", ["2001:db8::ff00:42:8329/128"]],
    ["::/0", ["::/0"]],
    ["::ffff:10.1.2.3", ["10.1.2.3/32"]],
    ["::ffff:10.1.2.3/104", ["10.0.0.0/8"]],
    ["loopback", ["127.0.0.0/8", "::1/128"]],
    ["private", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]],
  ];
  test.each(accepted)("reads %s as %j", (text, blocks) => expect(parseBlock(text)).toEqual(blocks));

  const refused = [
    "",
    "10.0.0",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "fe80::1%eth0",
    "any",
    "toString",
  ];
  test.each(refused)("refuses %j", (text) => expect(() => parseBlock(text)).toThrow(AddressError));

  test("a block holds the address it was made of, and reads back as itself", () => {
    const addresses = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
      fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
    );
    fc.assert(
      fc.property(addresses, ([address, prefix]) => {
        const [block = ""] = parseBlock(`${address}/${prefix}`);
        expect(parseBlock(block)).toEqual([block]);
        const [network = "", bits] = block.split("/");
        const family = network.includes(":") ? "ipv6" : "ipv4";
        const list = new BlockList();
        list.addSubnet(network, Number(bits), family);
        // Node matches an IPv4 address in IPv6 clothing against IPv4 blocks as well.
        expect(list.check(address, address.includes(":") ? "ipv6" : "ipv4")).toBe(true);
      }),
    );
  });
});
