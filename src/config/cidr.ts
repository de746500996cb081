// CIDR blocks in one canonical spelling, so that the same block always has the same text.

import { isIPv4, isIPv6 } from "node:net";
import { AddressError } from "./addresses.ts";
import { describeValue } from "./units.ts";

/** Words that stand for well-known blocks. */
const NAMED_BLOCKS: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1/128"],
  // RFC 1918 and RFC 4193: addresses that never cross the internet.
  private: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
};

const IPV4_BITS = 32;
const IPV6_BITS = 128;
/** `::ffff:0:0/96`, where IPv6 keeps IPv4 addresses. */
const MAPPED_PREFIX = 0xffffn << 32n;

/**
 * One entry of a list of addresses: a block (`10.0.0.0/8`), an address, `loopback` or `private`. Host
 * bits are cleared, and IPv4 in IPv6 clothing (`::ffff:10.0.0.1`) becomes IPv4.
 *
 * @throws AddressError
 */
export function parseBlock(text: string): readonly string[] {
  const named = Object.hasOwn(NAMED_BLOCKS, text) ? NAMED_BLOCKS[text] : undefined;
  if (named !== undefined) return named;
  const [address = "", prefixText, ...rest] = text.split("/");
  const isKnown = isIPv4(address) || (isIPv6(address) && !address.includes("%"));
  if (!isKnown || rest.length > 0 || (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText))) {
    throw new AddressError(
      `${describeValue(text)} is not an address block: write one like 10.0.0.0/8, 192.168.1.7, fd00::/8, loopback or private`,
    );
  }
  const bits = isIPv4(address) ? IPV4_BITS : IPV6_BITS;
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) throw new AddressError(`${describeValue(text)} has a prefix above ${bits}`);
  return [
    isIPv4(address) ? blockOfIPv4(ipv4Value(address), prefix) : blockOfIPv6(ipv6Value(address), prefix),
  ];
}

function blockOfIPv4(value: bigint, prefix: number): string {
  const network = clearHostBits(value, prefix, IPV4_BITS);
  const octets = [24n, 16n, 8n, 0n].map((shift) => (network >> shift) & 0xffn);
  return `${octets.join(".")}/${prefix}`;
}

function blockOfIPv6(value: bigint, prefix: number): string {
  const isMapped = value >> 32n === MAPPED_PREFIX >> 32n && prefix >= IPV6_BITS - IPV4_BITS;
  if (isMapped) return blockOfIPv4(value & 0xffff_ffffn, prefix - (IPV6_BITS - IPV4_BITS));
  const network = clearHostBits(value, prefix, IPV6_BITS);
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((network >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  // The URL parser knows the canonical spelling (RFC 5952).
  return `${new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1)}/${prefix}`;
}

function clearHostBits(value: bigint, prefix: number, bits: number): bigint {
  const shift = BigInt(bits - prefix);
  return (value >> shift) << shift;
}

function ipv4Value(address: string): bigint {
  return address.split(".").reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function ipv6Value(address: string): bigint {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = "", tail] = canonical.split("::");
  const headGroups = head === "" ? [] : head.split(":");
  const tailGroups = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: 8 - headGroups.length - tailGroups.length }, () => "0");
  return [...headGroups, ...zeros, ...tailGroups].reduce(
    (value, group) => (value << 16n) | BigInt(Number.parseInt(group, 16)),
    0n,
  );
}
