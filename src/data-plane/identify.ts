// Finds out who a client is: its address, its user and its tier.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Config } from "../config/schema.ts";
import { Refusal } from "../errors.ts";
import { joinedHeader } from "../ws/handshake.ts";
import { clientAddress, plainAddress } from "./client-address.ts";
import type { Proof } from "./credentials/credentials.ts";
import type { NamedSource } from "./identity-sources.ts";
import { ipUser, networkOf } from "./identity-value.ts";
import { isUnnamed, remoteAddressOf } from "./socket-ends.ts";
import type { Settings } from "./settings.ts";

/** What proxies usually add, whatever `clientIpHeader` is; the second is RFC 7239's. */
const FORWARDING = ["x-forwarded-for", "forwarded"];

/** Of a socket, what tells of its peer. */
type PeerSocket = Partial<Pick<Socket, "remoteAddress" | "localAddress" | "destroyed">>;

/** Where a client is. */
export interface ClientPlace {
  /** The socket's peer, or whom a PROXY header names; empty for a client on a Unix socket. */
  readonly peer: string;
  /** The peer is one of `trustedProxies`, and speaks for a client that it can name: what its headers say of the client is believed. */
  readonly isPeerTrusted: boolean;
  /** The client's own address, past the trusted proxies in front. */
  readonly address: string;
}

export interface Client extends ClientPlace {
  /** From the first source that yields one, else `ip:` and the address: safe in a log, not in a header. */
  readonly user: string;
  /** A peer that is not trusted says that it forwards for others. */
  readonly isForwardedByStranger: boolean;
  /** The user is an address that many clients may share. */
  readonly isSharedAddress: boolean;
  /** What failures that it may have provoked are counted by. */
  readonly network: string;
  readonly tier: string;
  /** What they were read from; null for the address, and for the default tier. */
  readonly userSource: NamedSource | null;
  readonly tierSource: NamedSource | null;
}

/** Throws Refusal `client_gone`. */
export function locate(request: IncomingMessage, socket: PeerSocket, settings: Settings): ClientPlace {
  const peer = peerOf(socket);
  // A Unix socket can only be reached from this machine, by whom its file mode admits.
  const isPeerTrusted = !isUnnamed(socket) && (peer === "" || settings.trustedProxies.has(peer));
  const forwarded = joinedHeader(request.rawHeaders, settings.config.clientIpHeader);
  const address =
    isPeerTrusted && forwarded !== undefined ? clientAddress(peer, forwarded, settings.trustedProxies) : peer;
  return { peer, isPeerTrusted, address };
}

/**
 * A user that is the address of an untrusted peer which forwards for others is many clients, and so is one
 * on a Unix socket of whom nobody has said an address.
 *
 * @param proof what its credentials have proven
 */
export function identify(
  request: IncomingMessage,
  place: ClientPlace,
  settings: Settings,
  proof: Proof,
): Client {
  const { isPeerTrusted, address } = place;
  const { user, tier, userSource, tierSource } = settings.identity.find(request, isPeerTrusted, proof);
  const isForwardedByStranger = !isPeerTrusted && isForwarding(request, settings.config);
  return {
    ...place,
    user: user ?? ipUser(address),
    isForwardedByStranger,
    isSharedAddress: user === null && (address === "" || isForwardedByStranger),
    network: networkOf(address),
    tier: tier ?? settings.defaultTier,
    userSource,
    tierSource,
  };
}

/** Whether the request says that it comes from further away than its peer. */
function isForwarding({ rawHeaders }: IncomingMessage, { clientIpHeader }: Config): boolean {
  return [clientIpHeader, ...FORWARDING].some((name) => joinedHeader(rawHeaders, name) !== undefined);
}

/**
 * A client on a Unix socket has no address on either side. One that has reset its TCP socket has lost its
 * own only, while its last requests are still being read: it must not pass for the former, whom we trust.
 */
function peerOf(socket: PeerSocket): string {
  const address = remoteAddressOf(socket);
  if (address !== undefined) return plainAddress(address);
  if (socket.destroyed || socket.localAddress !== undefined) throw new Refusal("client_gone");
  return "";
}
