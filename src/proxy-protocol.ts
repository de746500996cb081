// The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt has it: what a proxy says of a
// connection before the first byte of it. Parsing and building only, for both planes.

import { isIPv4, isIPv6 } from "node:net";
import { crc32c } from "./crc32c.ts";

/** The ends of a connection as the proxy saw them. */
export interface ProxiedEnds {
  /** Lower case; IPv6 in its canonical spelling. */
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly destinationAddress: string;
  readonly destinationPort: number;
}

interface ProxyHeader {
  /** Bytes that it takes. */
  readonly length: number;
  /** Null: the connection is the proxy's own, or of a kind without addresses that mean something here. */
  readonly ends: ProxiedEnds | null;
}

export class ProxyHeaderError extends Error {}

/** "including CRLF": §2.1. */
const MAX_V1_BYTES = 107;
/** What follows the fixed part of version 2. The format allows 64 KiB; what is sent is a few hundred bytes. */
const MAX_V2_PAYLOAD_BYTES = 16 * 1024;

const V1_START = Buffer.from("PROXY ", "latin1");
const V2_SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");
const V2_FIXED_BYTES = 16;

const COMMAND = { local: 0x20, proxy: 0x21 } as const;
/** Address family and transport; a datagram cannot have come on a stream. */
const FAMILY = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21, unixStream: 0x31 } as const;
const ADDRESS_BYTES = { [FAMILY.tcp4]: 12, [FAMILY.tcp6]: 36, [FAMILY.unixStream]: 216 } as const;
const TLV_CRC32C = 0x03;

/**
 * The header that `bytes` begin with; null while it may still become one.
 * Throws ProxyHeaderError as soon as it cannot.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | null {
  if (startsLike(bytes, V2_SIGNATURE)) return parseV2(bytes);
  if (startsLike(bytes, V1_START)) return parseV1(bytes);
  throw new ProxyHeaderError("does not begin like one");
}

/** As far as the bytes are here. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseV1(bytes: Buffer): ProxyHeader | null {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf("\r\n", 0, "latin1");
  if (end === -1) {
    if (bytes.length >= MAX_V1_BYTES) throw new ProxyHeaderError("its line is too long");
    return null;
  }
  const length = end + 2;
  const line = bytes.toString("latin1", V1_START.length, end);
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return { length, ends: null };
  const [family, source = "", destination = "", sourcePort = "", destinationPort = "", ...rest] =
    line.split(" ");
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isPlainIPv6 : null;
  if (isAddress === null) throw new ProxyHeaderError("its protocol is none that is known");
  if (rest.length > 0 || !isAddress(source) || !isAddress(destination)) {
    throw new ProxyHeaderError("its addresses are malformed");
  }
  const ends = {
    sourceAddress: canonical(source),
    sourcePort: portIn(sourcePort),
    destinationAddress: canonical(destination),
    destinationPort: portIn(destinationPort),
  };
  return { length, ends };
}

/** A zone means something on the proxy's machine only. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

function portIn(text: string): number {
  if (!/^(?:0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65_535) {
    throw new ProxyHeaderError("its ports are malformed");
  }
  return Number(text);
}

function parseV2(bytes: Buffer): ProxyHeader | null {
  const command = bytes[V2_SIGNATURE.length];
  if (command !== undefined && command !== COMMAND.local && command !== COMMAND.proxy) {
    throw new ProxyHeaderError("its version or command is none that is known");
  }
  if (bytes.length < V2_FIXED_BYTES) return null;
  const payloadBytes = bytes.readUInt16BE(14);
  if (payloadBytes > MAX_V2_PAYLOAD_BYTES) throw new ProxyHeaderError("it is too long");
  const length = V2_FIXED_BYTES + payloadBytes;
  if (bytes.length < length) return null;
  // "The receiver must accept this connection as valid and must use the real connection endpoints."
  if (command === COMMAND.local) return { length, ends: null };
  return { length, ends: endsIn(bytes.subarray(0, length)) };
}

function endsIn(header: Buffer): ProxiedEnds | null {
  const family = header[13];
  // What follows, be it addresses, cannot be told from what is attached.
  if (family === FAMILY.unspecified) return null;
  if (family !== FAMILY.tcp4 && family !== FAMILY.tcp6 && family !== FAMILY.unixStream) {
    throw new ProxyHeaderError("its address family or transport is none that is known");
  }
  const attached = V2_FIXED_BYTES + ADDRESS_BYTES[family];
  if (header.length < attached) throw new ProxyHeaderError("it is too short for its addresses");
  checkAttached(header, attached);
  if (family === FAMILY.unixStream) return null;
  const size = family === FAMILY.tcp4 ? 4 : 16;
  const portsAt = V2_FIXED_BYTES + 2 * size;
  return {
    sourceAddress: addressIn(header.subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + size)),
    sourcePort: header.readUInt16BE(portsAt),
    destinationAddress: addressIn(header.subarray(V2_FIXED_BYTES + size, portsAt)),
    destinationPort: header.readUInt16BE(portsAt + 2),
  };
}

/** Type, length, value, again and again; of their contents only a checksum of the whole header matters. */
function checkAttached(header: Buffer, start: number): void {
  let at = start;
  while (at < header.length) {
    const valueAt = at + 3;
    const end = valueAt > header.length ? Number.POSITIVE_INFINITY : valueAt + header.readUInt16BE(at + 1);
    if (end > header.length) throw new ProxyHeaderError("what is attached to it is cut short");
    if (header[at] === TLV_CRC32C) checkChecksum(header, valueAt, end);
    at = end;
  }
}

/** §2.2.3: over the whole header, with the checksum itself as zeros. */
function checkChecksum(header: Buffer, start: number, end: number): void {
  if (end - start !== 4) throw new ProxyHeaderError("its checksum has a wrong length");
  const zeroed = Buffer.from(header).fill(0, start, end);
  if (crc32c(zeroed) !== header.readUInt32BE(start)) throw new ProxyHeaderError("its checksum is wrong");
}

function addressIn(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return canonical(groups.join(":"));
}

/** The URL parser knows the canonical spelling of IPv6 (RFC 5952). */
function canonical(address: string): string {
  return address.includes(":") ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address;
}

/** A header of version 2; null stands for a connection of the proxy's own. */
export function buildProxyHeader(ends: ProxiedEnds | null): Buffer {
  if (ends === null) return v2Header(COMMAND.local, FAMILY.unspecified, Buffer.alloc(0));
  const { sourceAddress: source, destinationAddress: destination } = ends;
  const isTcp4 = isIPv4(source) && isIPv4(destination);
  const size = isTcp4 ? 4 : 16;
  const payload = Buffer.alloc(2 * size + 4);
  const write = isTcp4 ? writeIPv4 : writeIPv6;
  write(payload, 0, source);
  write(payload, size, destination);
  payload.writeUInt16BE(ends.sourcePort, 2 * size);
  payload.writeUInt16BE(ends.destinationPort, 2 * size + 2);
  return v2Header(COMMAND.proxy, isTcp4 ? FAMILY.tcp4 : FAMILY.tcp6, payload);
}

function v2Header(command: number, family: number, payload: Buffer): Buffer {
  const fixed = Buffer.alloc(4);
  fixed[0] = command;
  fixed[1] = family;
  fixed.writeUInt16BE(payload.length, 2);
  return Buffer.concat([V2_SIGNATURE, fixed, payload]);
}

function writeIPv4(target: Buffer, at: number, address: string): void {
  address.split(".").forEach((octet, i) => (target[at + i] = Number(octet)));
}

/** An IPv4 address beside an IPv6 one is written as IPv6 has it (`::ffff:192.0.2.1`). */
function writeIPv6(target: Buffer, at: number, address: string): void {
  const [plain = ""] = (isIPv4(address) ? `::ffff:${address}` : address).split("%");
  const [head = "", tail] = canonical(plain).split("::");
  const left = groupsIn(head);
  const right = groupsIn(tail ?? "");
  left.forEach((group, i) => target.writeUInt16BE(group, at + 2 * i));
  right.forEach((group, i) => target.writeUInt16BE(group, at + 16 - 2 * (right.length - i)));
}

function groupsIn(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
