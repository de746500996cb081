// What may be the name of a user or tier, and how such a name is spelled in a header. Users come from
// outside: they must not break a log line, a header or a terminal, nor grow without bound.

import net from "node:net";

/** Bytes of UTF-8. */
export const MAX_IDENTITY_BYTES = 256;

/**
 * Control characters, line and paragraph separators, lone surrogates, marks that turn the direction of
 * text (they make a log line read as another), and U+FFFD, which stands for bytes that were no UTF-8:
 * with it, different bytes would be the same user.
 */
const UNUSABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\u{FFFD}]/u;

/** What begins like this is an address that Weir itself has seen. */
const IP_PREFIX = /^ip:/i;

/** What a header may carry as it is: visible ASCII, but for the `%` that begins an escape. */
const PLAIN = /^[\x21-\x24\x26-\x7e]*$/;
const NOT_PLAIN = /[^\x21-\x24\x26-\x7e]/gu;

/** The UTF-8 of a header that was read as one character a byte; U+FFFD for what is none. */
export function fromBytes(value: string): string {
  return /[\x80-\xff]/.test(value) ? Buffer.from(value, "latin1").toString("utf8") : value;
}

/**
 * What a header names, of all its lines joined by commas; null where that may be several: a line that a proxy adds
 * does not replace the client's own, so none of them is believed.
 */
export function fromHeader(value: string): string | null {
  return value.includes(",") ? null : fromBytes(value);
}

/** Whether a value that a source found counts at all; one that does not is as good as absent. */
export function isUsableIdentity(value: string): boolean {
  return (
    value !== "" &&
    // Never fewer bytes than characters: most of what is too long is not even measured.
    value.length <= MAX_IDENTITY_BYTES &&
    Buffer.byteLength(value) <= MAX_IDENTITY_BYTES &&
    value === value.trim() &&
    !UNUSABLE.test(value)
  );
}

/** The same for a user from any source but `ip`. */
export function isUsableUser(value: string): boolean {
  return isUsableIdentity(value) && !IP_PREFIX.test(value);
}

/**
 * The user of a client known by its address only: `ip:192.0.2.1`, and for IPv6 `ip:2001:db8:1:2::/64`,
 * since one client has all of such a network to choose from. An IPv4 address in IPv6 notation
 * (`::ffff:c000:201`) is that IPv4 address.
 *
 * @param address as `node:net` understands it; empty on a Unix socket
 */
export function ipUser(address: string): string {
  return address.includes(":") && net.isIPv6(address) ? `ip:${groupIPv6(address)}` : `ip:${address}`;
}

/**
 * The network that a client is counted in where it could choose its name, and its address within a range:
 * `192.0.2.0/24`, `2001:db8:1::/48` (what a site is given, RFC 6177). Empty without an address.
 */
export function networkOf(address: string): string {
  if (!net.isIPv6(address)) return address.replace(/\.\d+$/, ".0/24");
  const groups = ipv6Groups(address);
  if (isMapped(groups)) return `${groups.slice(6).flatMap(octets).slice(0, 3).join(".")}.0/24`;
  return `${groups
    .slice(0, 3)
    .map((group) => group.toString(16))
    .join(":")}::/48`;
}

/** The IPv4 address that an IPv6 one stands for; null where it is none of `::ffff:0:0/96`. */
export function ipv4In(address: string): string | null {
  // Most that are not can be told by looking.
  if (!/ffff:/i.test(address)) return null;
  const groups = ipv6Groups(address);
  return isMapped(groups) ? groups.slice(6).flatMap(octets).join(".") : null;
}

function groupIPv6(address: string): string {
  const groups = ipv6Groups(address);
  const mapped = ipv4In(address);
  if (mapped !== null) return mapped;
  // RFC 5952 §4.2 shortens the longest run of zeros: here always the one that ends the address.
  const end = groups.slice(0, 4).findLastIndex((group) => group !== 0) + 1;
  const network = groups.slice(0, end).map((group) => group.toString(16));
  return `${network.join(":")}::/64`;
}

function isMapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
}

/** The eight groups of an IPv6 address in any spelling; its zone, if any, is left out. */
function ipv6Groups(address: string): number[] {
  const [plain = ""] = address.split("%", 1);
  const [head = "", tail = ""] = plain.split("::");
  const left = parseGroups(head);
  const right = parseGroups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0);
  return [...left, ...zeros, ...right];
}

function parseGroups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

function octets(group: number): [number, number] {
  return [group >> 8, group & 0xff];
}

/**
 * A user as the value of a header, which carries visible ASCII only (RFC 9110 §5.5): all other
 * characters are percent-encoded as UTF-8, and so is `%`, so that two users never look alike and
 * `decodeURIComponent` gives the user back. Most users are spelled as they are.
 */
export function headerSpelling(user: string): string {
  return PLAIN.test(user) ? user : user.replaceAll(NOT_PLAIN, encodeURIComponent);
}
