// Who a client is at the address level: the peer of the socket, or whoever trusted proxies say it is.

import net from "node:net";
import { Refusal } from "../errors.ts";
import { ipv4In } from "./identity-value.ts";
import { remoteAddressOf } from "./socket-ends.ts";

/** A list of addresses, such as those whose forwarded and identity headers are believed. */
export class AddressBlocks {
  readonly #list = new net.BlockList();

  /** @param cidrs canonical CIDRs, IPv4 or IPv6 */
  constructor(cidrs: readonly string[]) {
    for (const cidr of cidrs) {
      const [address = "", bits = ""] = cidr.split("/");
      this.#list.addSubnet(address, Number(bits), net.isIPv6(address) ? "ipv6" : "ipv4");
    }
  }

  has(address: string): boolean {
    const family = net.isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

/** The `allow` and `deny` of a listener or route. */
export class AddressRules {
  /** Null where nothing is listed. */
  readonly #allow: AddressBlocks | null;
  readonly #deny: AddressBlocks | null;

  constructor({ allow, deny }: { readonly allow: readonly string[]; readonly deny: readonly string[] }) {
    this.#allow = allow.length === 0 ? null : new AddressBlocks(allow);
    this.#deny = deny.length === 0 ? null : new AddressBlocks(deny);
  }

  /**
   * Throws Refusal `address_denied`. A client without an address (on a Unix socket, and nobody has said one) is
   * in no list: `allow` shuts it out, `deny` does not.
   */
  check(address: string): void {
    if (this.#deny?.has(address) === true || this.#allow?.has(address) === false)
      throw new Refusal("address_denied");
  }
}

/**
 * An IPv4 address that arrived on an IPv6 socket (`::ffff:1.2.3.4`, in any spelling) in its own notation; of an
 * IPv6 address what lies beyond this machine, without the zone.
 */
export function plainAddress(address: string): string {
  if (!address.includes(":")) return address;
  const [lower = ""] = address.toLowerCase().split("%", 1);
  return ipv4In(lower) ?? lower;
}

/**
 * The rightmost address that is not a trusted proxy's, reading from the peer backwards through the
 * forwarded list: what stands left of it was written by someone that nobody vouches for. A list of
 * trusted addresses only yields its leftmost; an entry that is no address ends the walk.
 *
 * @param peer empty for a client on a Unix socket, which is trusted
 * @param forwarded the client IP header, a comma-separated list
 */
export function clientAddress(peer: string, forwarded: string, trusted: AddressBlocks): string {
  let address = peer;
  const hops = forwarded.split(",");
  for (let i = hops.length - 1; i >= 0 && (address === "" || trusted.has(address)); i--) {
    const hop = withoutPort((hops[i] ?? "").trim());
    if (net.isIP(hop) === 0) break;
    address = plainAddress(hop);
  }
  return address;
}

/** `1.2.3.4:5678`, `[::1]:5678` and `[::1]` without port and brackets; other text as it is. */
function withoutPort(hop: string): string {
  const match = /^\[([^\]]*)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop);
  return match?.[1] ?? match?.[2] ?? hop;
}

/** The peer's own, undefined on a Unix socket or once it is gone. */
export function addressOf(socket: net.Socket): string | undefined {
  const address = remoteAddressOf(socket);
  return address === undefined ? undefined : plainAddress(address);
}
