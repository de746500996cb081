// The PROXY header: laws over any split and any garbage, and what HAProxy's proxy-protocol.txt demands.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { crc32c } from "../../src/crc32c.ts";
import {
  buildProxyHeader,
  parseProxyHeader,
  type ProxiedEnds,
  ProxyHeaderError,
} from "../../src/proxy-protocol.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";

function v1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function v2(command: string, family: string, payload: Buffer | string): Buffer {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload, "hex");
  const length = body.length.toString(16).padStart(4, "0");
  return Buffer.concat([Buffer.from(`${SIGNATURE}${command}${family}${length}`, "hex"), body]);
}

function tlv(type: number, value: Buffer): Buffer {
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(value.length, 1);
  return Buffer.concat([head, value]);
}

/** With a checksum over all of it attached. */
function withChecksum(command: string, family: string, payload: Buffer): Buffer {
  const header = v2(command, family, Buffer.concat([payload, tlv(3, Buffer.alloc(4))]));
  header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}

const tcp4 = "c0000201 c6336407 1f90 01bb".replaceAll(" ", "");
const ends4: ProxiedEnds = {
  sourceAddress: "192.0.2.1",
  sourcePort: 8080,
  destinationAddress: "198.51.100.7",
  destinationPort: 443,
};
const tcp6 = `20010db8${"0".repeat(23)}1 ${"0".repeat(20)}ffffc0000201 0001 ffff`.replaceAll(" ", "");
const unix = Buffer.alloc(216, 0x61);

const valid: Record<string, [header: Buffer, ends: ProxiedEnds | null]> = {
  "v1 TCP4": [v1("PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n"), ends4],
  "v1 TCP6 in any spelling": [
    v1("PROXY TCP6 2001:DB8:0:0::1 ::ffff:192.0.2.1 1 65535\r\n"),
    {
      sourceAddress: "2001:db8::1",
      sourcePort: 1,
      destinationAddress: "::ffff:c000:201",
      destinationPort: 65_535,
    },
  ],
  "v1 UNKNOWN": [v1("PROXY UNKNOWN\r\n"), null],
  "v1 UNKNOWN with more": [v1("PROXY UNKNOWN ffff::1 whatever 65536\r\n"), null],
  "v1 of the greatest length": [v1(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`), null],
  "v2 LOCAL": [v2("20", "00", ""), null],
  "v2 LOCAL with addresses": [v2("20", "11", tcp4), null],
  "v2 LOCAL with anything": [v2("20", "ff", "01"), null],
  "v2 UNSPEC": [v2("21", "00", "0102"), null],
  "v2 TCP4": [v2("21", "11", tcp4), ends4],
  "v2 TCP6": [
    v2("21", "21", tcp6),
    {
      sourceAddress: "2001:db8::1",
      sourcePort: 1,
      destinationAddress: "::ffff:c000:201",
      destinationPort: 65_535,
    },
  ],
  "v2 UNIX": [v2("21", "31", unix), null],
  "v2 with TLVs": [
    v2("21", "11", Buffer.concat([Buffer.from(tcp4, "hex"), tlv(4, Buffer.alloc(3)), tlv(2, v1("a.test"))])),
    ends4,
  ],
  "v2 with a checksum": [withChecksum("21", "11", Buffer.from(tcp4, "hex")), ends4],
};

const malformed: Record<string, Buffer> = {
  "an HTTP request": v1("GET / HTTP/1.1\r\n"),
  "a TLS hello": Buffer.from("160301", "hex"),
  "lower case": v1("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
  "no space": v1("PROXY\r\n"),
  "no protocol": v1("PROXY \r\n"),
  "an unknown protocol": v1("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"),
  "two spaces": v1("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"),
  "a trailing space": v1("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"),
  "too few fields": v1("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"),
  "too many fields": v1("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"),
  "IPv6 in TCP4": v1("PROXY TCP4 ::1 ::1 1 2\r\n"),
  "IPv4 in TCP6": v1("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
  "an octet above 255": v1("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"),
  "leading zeros": v1("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"),
  "a zone": v1("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
  "a port above 65535": v1("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"),
  "a port with a sign": v1("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n"),
  "a port with zeros": v1("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"),
  "no port": v1("PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n"),
  "a line feed alone": v1(`PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n${"x".repeat(107)}`),
  "a line that is too long": v1(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`),
  "a NUL": v1("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"),
  "version 1 in binary": v2("11", "11", tcp4),
  "version 3 in binary": v2("31", "11", tcp4),
  "an unknown command": v2("22", "11", tcp4),
  "a datagram": v2("21", "12", tcp4),
  "an unknown family": v2("21", "41", tcp4),
  "addresses cut short": v2("21", "11", tcp4.slice(2)),
  "IPv4 addresses as IPv6": v2("21", "21", tcp4),
  "a TLV without a length": v2("21", "11", `${tcp4}0400`),
  "a TLV cut short": v2("21", "11", `${tcp4}0400020`.padEnd(tcp4.length + 8, "0")),
  "a wrong checksum": (() => {
    const header = withChecksum("21", "11", Buffer.from(tcp4, "hex"));
    header[16] = 0;
    return header;
  })(),
  "a checksum of three bytes": v2("21", "11", `${tcp4}030003000000`),
  "a payload that is too long": Buffer.from(`${SIGNATURE}2111ffff`, "hex"),
};

/** What comes of bytes, as a value. */
function outcome(bytes: Buffer): string {
  try {
    return JSON.stringify(parseProxyHeader(bytes));
  } catch (error) {
    if (error instanceof ProxyHeaderError) return "malformed";
    throw error;
  }
}

describe("parseProxyHeader", () => {
  test.each(Object.entries(valid))("reads %s, whatever follows", (_, [header, ends]) => {
    for (const behind of ["", "GET / HTTP/1.1\r\n", "\r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"]) {
      const bytes = Buffer.concat([header, Buffer.from(behind)]);
      expect(parseProxyHeader(bytes)).toEqual({ length: header.length, ends });
    }
  });

  test.each(Object.entries(valid))("waits for the end of %s", (_, [header]) => {
    for (let length = 0; length < header.length; length++) {
      expect(parseProxyHeader(header.subarray(0, length))).toBeNull();
    }
  });

  test.each(Object.entries(malformed))("refuses %s", (_, bytes) => {
    expect(() => parseProxyHeader(bytes)).toThrow(ProxyHeaderError);
  });

  test("refuses as soon as it can, and then for good", () => {
    for (const bytes of Object.values(malformed)) {
      const outcomes = Array.from(bytes, (_, i) => outcome(bytes.subarray(0, i + 1)));
      const first = outcomes.indexOf("malformed");
      expect(new Set(outcomes.slice(0, first))).toEqual(first === 0 ? new Set() : new Set(["null"]));
      expect(new Set(outcomes.slice(first))).toEqual(new Set(["malformed"]));
    }
    expect(outcome(Buffer.from("GET"))).toBe("malformed");
  });

  test("takes any mutation of a header, and any bytes, without another error, and never waits for ever", () => {
    const headers = Object.values(valid).map(([header]) => header);
    const mutated = fc
      .tuple(fc.constantFrom(...headers), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([header, changes]) => {
        const bytes = Buffer.from(header);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    const any = fc.oneof(
      mutated,
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(any, (bytes) => {
        expect(outcome(bytes)).toBeTypeOf("string");
        expect(outcome(Buffer.concat([bytes, Buffer.alloc(17_000, 0x78)]))).not.toBe("null");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("buildProxyHeader", () => {
  const port = fc.nat(65_535);

  test("is read back as it was, an IPv4 address beside an IPv6 one as that has it", () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(address, port, address, port, (source, sourcePort, destination, destinationPort) => {
        const ends = {
          sourceAddress: source,
          sourcePort,
          destinationAddress: destination,
          destinationPort,
        };
        const header = buildProxyHeader(ends);
        const isMixed = source.includes(":") || destination.includes(":");
        const spelled = (text: string) => {
          const whole = isMixed && !text.includes(":") ? `::ffff:${text}` : text;
          return isMixed ? new URL(`http://[${whole}]/`).hostname.slice(1, -1) : whole;
        };
        expect(parseProxyHeader(header)).toEqual({
          length: header.length,
          ends: { ...ends, sourceAddress: spelled(source), destinationAddress: spelled(destination) },
        });
      }),
    );
  });

  test("is LOCAL for a connection of our own", () => {
    expect(buildProxyHeader(null).toString("hex")).toBe(`${SIGNATURE}20000000`);
  });
});

test("crc32c is Castagnoli's", () => {
  expect(crc32c(Buffer.from("123456789")).toString(16)).toBe("e3069283");
});
