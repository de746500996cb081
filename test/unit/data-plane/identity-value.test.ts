// What may be the name of a user, how addresses become users, and how users are spelled in a header.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  headerSpelling,
  ipUser,
  isUsableIdentity,
  isUsableUser,
  MAX_IDENTITY_BYTES,
  networkOf,
} from "../../../src/data-plane/identity-value.ts";

describe("isUsableIdentity", () => {
  test.each([
    ["a plain name", "ann"],
    ["a name with spaces inside", "Ann B. Clark"],
    ["an e-mail address", "ann+chat@example.com"],
    ["quotes, braces and a percent sign", `"{100%}'`],
    ["any script", "Jürgen 山田 🎲"],
    ["a joined emoji", "👩‍🚀"],
    ["as many bytes as are allowed", "x".repeat(MAX_IDENTITY_BYTES)],
    ["as many bytes of other scripts", "é".repeat(MAX_IDENTITY_BYTES / 2)],
    ["JavaScript's own names", "__proto__"],
  ])("takes %s", (_, value) => expect(isUsableIdentity(value)).toBe(true));

  test.each([
    ["nothing", ""],
    ["a space", " "],
    ["a leading space", " ann"],
    ["a trailing no-break space", "ann\u00a0"],
    ["a leading byte order mark", "\ufeffann"],
    ["NUL", "a\0b"],
    ["a tab", "a\tb"],
    ["a line feed", "ann\nlevel=error"],
    ["a carriage return", "a\rb"],
    ["an escape sequence of terminals", "\u001b[2Jann"],
    ["DEL", "a\u007fb"],
    ["NEL", "a\u0085b"],
    ["a line separator", "a\u2028b"],
    ["a paragraph separator", "a\u2029b"],
    ["a lone surrogate", "a\ud800b"],
    ["a surrogate pair the wrong way round", "\udc00\ud800"],
    ["a mark that turns the text", "ann\u202egpj.exe"],
    ["what stands for bytes that were no UTF-8", "a\ufffdb"],
    ["a byte too much", "x".repeat(MAX_IDENTITY_BYTES + 1)],
    ["a byte too much in fewer characters", "é".repeat(MAX_IDENTITY_BYTES / 2) + "x"],
    ["10 KiB", "x".repeat(10_240)],
  ])("refuses %s", (_, value) => expect(isUsableIdentity(value)).toBe(false));
});

describe("isUsableUser", () => {
  test.each(["ip:10.0.0.1", "ip:", "IP:10.0.0.1", "ip:2001:db8::/64"])("refuses %s", (user) =>
    expect(isUsableUser(user)).toBe(false),
  );
  test.each(["ip", "ipanema", "vip:1", "10.0.0.1"])("takes %s", (user) =>
    expect(isUsableUser(user)).toBe(true),
  );
});

describe("ipUser", () => {
  type Row = [address: string, user: string];
  const rows: Row[] = [
    ["192.0.2.1", "ip:192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"],
    ["2001:db8:1:2::6", "ip:2001:db8:1:2::/64"],
    ["2001:DB8:0001:0002::", "ip:2001:db8:1:2::/64"],
    ["2001:db8::1", "ip:2001:db8::/64"],
    ["2001:db8:0:0:1::", "ip:2001:db8::/64"],
    ["2001:0:0:2::1", "ip:2001:0:0:2::/64"],
    ["0:0:0:2::1", "ip:0:0:0:2::/64"],
    ["::1", "ip:::/64"],
    ["fe80::1%eth0", "ip:fe80::/64"],
    ["fe80::2%2001:db8::", "ip:fe80::/64"],
    ["::ffff:192.0.2.1", "ip:192.0.2.1"],
    ["::ffff:c000:201", "ip:192.0.2.1"],
    ["0:0:0:0:0:FFFF:192.0.2.1", "ip:192.0.2.1"],
    ["64:ff9b::192.0.2.1", "ip:64:ff9b::/64"],
    // Not known any more, or a Unix socket.
    ["", "ip:"],
  ];
  test.each(rows)("names %s %s", (address, user) => expect(ipUser(address)).toBe(user));

  test("names every address of a /64 like its network, in the spelling that URLs have", () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    const half = fc.array(group, { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(half, half, (network, host) => {
        fc.pre(network.some((value) => value !== 0));
        const groups = [...network, ...host].map((value) => value.toString(16));
        const long = groups.map((value) => value.padStart(4, "0").toUpperCase()).join(":");
        const short = new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
        const prefix = new URL(`http://[${groups.slice(0, 4).join(":")}:0:0:0:0]/`).hostname.slice(1, -1);
        expect(ipUser(long)).toBe(`ip:${prefix}/64`);
        expect(ipUser(short)).toBe(`ip:${prefix}/64`);
      }),
    );
  });
});

describe("headerSpelling", () => {
  test.each([
    ["ann", "ann"],
    ["ip:2001:db8:1:2::/64", "ip:2001:db8:1:2::/64"],
    ["ann+chat@example.com", "ann+chat@example.com"],
    ["Ann Clark", "Ann%20Clark"],
    ["jürgen", "j%C3%BCrgen"],
    ["j%C3%BCrgen", "j%25C3%25BCrgen"],
    ["🎲", "%F0%9F%8E%B2"],
  ])("spells %s as %s", (user, spelling) => expect(headerSpelling(user)).toBe(spelling));

  test("is visible ASCII for every usable user, and tells users apart", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: MAX_IDENTITY_BYTES }), (user) => {
        fc.pre(isUsableUser(user));
        const spelling = headerSpelling(user);
        expect(spelling).toMatch(/^[\x21-\x7e]+$/);
        expect(spelling.length).toBeLessThanOrEqual(3 * MAX_IDENTITY_BYTES);
        expect(decodeURIComponent(spelling)).toBe(user);
      }),
    );
  });
});

describe("networkOf", () => {
  test.each([
    ["192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7", "192.0.2.0/24"],
    ["::ffff:c000:207", "192.0.2.0/24"],
    ["2001:db8:1:2:3::4", "2001:db8:1::/48"],
    ["2001:db8:1:ffff::", "2001:db8:1::/48"],
    ["::1", "0:0:0::/48"],
    ["", ""],
  ])("of %s is %s", (address, network) => expect(networkOf(address)).toBe(network));
});
