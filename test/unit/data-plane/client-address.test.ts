// Who the client is behind proxies: laws over random lists of forwarded addresses.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { clientAddress, plainAddress, AddressBlocks } from "../../../src/data-plane/client-address.ts";

const trusted = new AddressBlocks(["10.0.0.0/8", "127.0.0.0/8", "::1/128", "fd00::/8"]);

const proxy = fc.constantFrom("10.0.0.1", "10.255.1.2", "127.0.0.1", "::1", "fd00::1");
const stranger = fc.constantFrom("192.0.2.1", "198.51.100.7", "2001:db8::1", "11.0.0.1");
const address = fc.oneof(proxy, stranger);
const list = (hops: readonly string[]) => hops.join(", ");

describe("clientAddress", () => {
  test("believes nothing of a stranger", () => {
    fc.assert(
      fc.property(stranger, fc.array(address), (peer, hops) => {
        expect(clientAddress(peer, list(hops), trusted)).toBe(peer);
      }),
    );
  });

  test("is the rightmost stranger of list and peer, or the leftmost where all are trusted", () => {
    fc.assert(
      fc.property(address, fc.array(address), (peer, hops) => {
        const chain = [...hops, peer];
        const expected = chain.findLast((each) => !trusted.has(each)) ?? chain[0];
        expect(clientAddress(peer, list(hops), trusted)).toBe(expected);
      }),
    );
  });

  test("cannot be changed by what stands left of a stranger", () => {
    fc.assert(
      fc.property(fc.string(), stranger, fc.array(proxy), proxy, (forged, client, proxies, peer) => {
        const forwarded = `${forged},${list([client, ...proxies])}`;
        expect(clientAddress(peer, forwarded, trusted)).toBe(client);
      }),
    );
  });

  test("stops at what is no address", () => {
    for (const junk of ["unknown", "_hidden", "999.1.1.1", "", "10.0.0.1 evil", "10.0.0", "::g"]) {
      expect(clientAddress("127.0.0.1", list(["192.0.2.1", junk, "10.0.0.9"]), trusted)).toBe("10.0.0.9");
    }
  });

  test("walks the list for a peer on a Unix socket, which is trusted", () => {
    expect(clientAddress("", "192.0.2.1, 10.0.0.1", trusted)).toBe("192.0.2.1");
    expect(clientAddress("", "", trusted)).toBe("");
  });

  test.for([
    ["192.0.2.1:5678", "192.0.2.1"],
    ["[2001:db8::1]:5678", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["2001:DB8::1", "2001:db8::1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["  192.0.2.1\t", "192.0.2.1"],
  ])("reads the hop '%s'", ([hop, expected]) => {
    expect(clientAddress("127.0.0.1", hop ?? "", trusted)).toBe(expected);
  });
});

describe("AddressBlocks", () => {
  test("knows IPv4 addresses in IPv6 notation only as plainAddress gives them", () => {
    expect(trusted.has(plainAddress("::ffff:10.0.0.1"))).toBe(true);
    expect(trusted.has(plainAddress("::FFFF:192.0.2.1"))).toBe(false);
  });

  test("has nobody when it is empty, and no text that is no address", () => {
    const nobody = new AddressBlocks([]);
    fc.assert(
      fc.property(address, (each) => {
        expect(nobody.has(each)).toBe(false);
      }),
    );
    for (const text of ["", "localhost", "10.0.0.0/8", "10.0.0.1:80"]) expect(trusted.has(text)).toBe(false);
  });
});
