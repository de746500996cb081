// Which local ends a dial leaves from, and in which order. Whether the system has them free is played here.
import { describe, expect, test } from "vitest";

import { LocalEnds, type PortRange, SourceAddresses } from "../../../src/data-plane/source-addresses.ts";

const taken = error("EADDRNOTAVAIL", "connect");
const inUse = error("EADDRINUSE", "connect");
const notOurs = error("EADDRNOTAVAIL", "bind");
const ports: PortRange = [40_000, 40_004];

function error(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code, syscall });
}

/** The addresses that are tried while every try ends like this, each as often as it is. */
function addressesTried(ends: LocalEnds, failure: NodeJS.ErrnoException): string[] {
  const tried = [ends.current.localAddress];
  while (ends.advance(failure)) tried.push(ends.current.localAddress);
  return tried;
}

describe("the source addresses", () => {
  test("are taken in turn, each family by itself", () => {
    const sources = new SourceAddresses(["127.0.0.2", "::2", "127.0.0.3", "::3", "127.0.0.4"], null);
    const first = (address: string) => sources.endsFor(address)?.current.localAddress;
    const four = Array.from({ length: 4 }, () => first("10.0.0.1"));
    expect(new Set(four.slice(0, 3))).toEqual(new Set(["127.0.0.2", "127.0.0.3", "127.0.0.4"]));
    expect(four[3]).toBe(four[0]);
    expect(new Set([first("::1"), first("::1")])).toEqual(new Set(["::2", "::3"]));
  });

  test("are none where no one is of the backend's family, or it is a Unix socket", () => {
    const sources = new SourceAddresses(["127.0.0.2"], null);
    expect(sources.endsFor("::1")).toBeNull();
    expect(sources.endsFor("")).toBeNull();
    expect(new SourceAddresses([], ports).endsFor("127.0.0.1")).toBeNull();
  });
});

describe("a dial", () => {
  test("goes on to the next address where one is not ours", () => {
    const ends = new LocalEnds(["127.0.0.2", "127.0.0.3", "127.0.0.4"], ports);
    expect(addressesTried(ends, notOurs)).toEqual(["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
  });

  test.for([taken, inUse])("tries several ports of each address while they are taken ($code)", (failure) => {
    const tried = addressesTried(new LocalEnds(["127.0.0.2", "127.0.0.3"], ports), failure);
    const [first, second] = ["127.0.0.2", "127.0.0.3"].map(
      (address) => tried.filter((each) => each === address).length,
    );
    expect(first).toBe(second);
    expect(first).toBeGreaterThan(10);
    expect(tried).toEqual(tried.toSorted());
  });

  test("takes every port of the range, and none beside it", () => {
    const seen = new Set<number | undefined>();
    for (let i = 0; i < 1_000; i++) seen.add(new LocalEnds(["127.0.0.2"], ports).current.localPort);
    expect(seen).toEqual(new Set([40_000, 40_001, 40_002, 40_003, 40_004]));
  });

  test("leaves the port to the system where its range is not known", () => {
    const ends = new LocalEnds(["127.0.0.2", "127.0.0.3"], null);
    expect(ends.current).toEqual({ localAddress: "127.0.0.2" });
    expect(ends.advance(inUse)).toBe(true);
    expect(ends.current).toEqual({ localAddress: "127.0.0.3" });
    expect(ends.advance(inUse)).toBe(false);
  });

  test.for(["ECONNREFUSED", "ETIMEDOUT", "EMFILE"])(
    "ends with an error that another end does not mend: %s",
    (code) => {
      expect(new LocalEnds(["127.0.0.2", "127.0.0.3"], ports).advance(error(code, "connect"))).toBe(false);
    },
  );
});
