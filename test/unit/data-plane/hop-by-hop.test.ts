// Which header lines concern one hop only: those that always do, and those that Connection names.
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { isHopByHop, namedInConnection } from "../../../src/data-plane/hop-by-hop.ts";

const token = fc.string({ unit: fc.constantFrom("a", "b", "-", "_", "1"), minLength: 1, maxLength: 5 });
const anyCase = (text: string) =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((upper) => Array.from(text, (letter, i) => (upper[i] ? letter.toUpperCase() : letter)).join(""));

test("names are hop-by-hop in any case", () => {
  const names = fc.constantFrom(
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
  );
  fc.assert(
    fc.property(names.chain(anyCase), (name) => {
      expect(isHopByHop(name)).toBe(true);
    }),
  );
  for (const name of ["host", "content-length", "trailers", "x-te", "sec-websocket-key"]) {
    expect(isHopByHop(name)).toBe(false);
  }
});

test("Connection names what its lines list, in any case, with any white space", () => {
  const padding = fc.constantFrom("", " ", "\t", "  ");
  fc.assert(
    fc.property(fc.array(fc.array(token)), padding, (lists, pad) => {
      const lines = lists.flatMap((names) => ["CONNECTION", names.map((name) => pad + name + pad).join(",")]);
      expect([...namedInConnection(["Host", "a", ...lines, "X", "y"])].toSorted()).toEqual(
        [...new Set(lists.flat())].toSorted(),
      );
    }),
  );
});

test("Connection can name neither the host, the length, the handshake, nor what is removed anyway", () => {
  const protectedName = fc.constantFrom(
    "host",
    "content-length",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "upgrade",
    "close",
    "keep-alive",
    "te",
  );
  fc.assert(
    fc.property(fc.array(protectedName.chain(anyCase)), (names) => {
      expect(namedInConnection(["Connection", names.join(", ")]).size).toBe(0);
    }),
  );
});

test("other lines name nothing", () => {
  expect(namedInConnection(["X-Connection", "a", "Proxy-Connection", "b", "Keep-Alive", "c"]).size).toBe(0);
  expect(namedInConnection([]).size).toBe(0);
});
