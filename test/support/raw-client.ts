// The byte-exact client: plain or TLS sockets to Weir (or to anything), and an opening handshake
// written by hand, so that a test decides about every byte of it.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

import type { HttpHead } from "./http-head.ts";
import { RawConnection } from "./raw-connection.ts";
import { within } from "./until.ts";

interface ConnectOptions {
  /** For wss: and https: targets: the CA and whatever else the handshake needs. */
  readonly tls?: ConnectionOptions;
  /** True: the peer's FIN is not answered with ours until `finish()`. */
  readonly allowHalfOpen?: boolean;
}

export interface UpgradeRequestOptions {
  /** Default `/`, or the path of the target. */
  readonly path?: string;
  readonly host?: string;
  readonly key?: string;
  readonly version?: string;
  readonly protocols?: readonly string[];
  /** The value of Sec-WebSocket-Extensions. */
  readonly extensions?: string;
  /** Further header lines as they shall be sent, e.g. `["X-User-Id: ann"]`. */
  readonly lines?: readonly string[];
  /** Names of the usual headers to leave out. */
  readonly omit?: readonly string[];
}

interface OpenedRawConnection {
  readonly connection: RawConnection;
  /** The head of the 101. */
  readonly response: HttpHead;
}

/** Connects to `ws:`, `http:`, `wss:`, `https:` or `unix:/path`; a refused connect rejects. */
export async function connectRaw(target: string, options: ConnectOptions = {}): Promise<RawConnection> {
  const socket = openSocket(target, options);
  await within(`connecting to ${target}`, once(socket, isTls(target) ? "secureConnect" : "connect"));
  return new RawConnection(socket, { role: "client" });
}

/** The head of a valid upgrade, but for what `options` changes. */
export function upgradeRequest(options: UpgradeRequestOptions = {}): string {
  const usual = {
    Host: options.host ?? "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": options.key ?? randomBytes(16).toString("base64"),
    "Sec-WebSocket-Version": options.version ?? "13",
    ...(options.protocols && { "Sec-WebSocket-Protocol": options.protocols.join(", ") }),
    ...(options.extensions !== undefined && { "Sec-WebSocket-Extensions": options.extensions }),
  };
  const omitted = new Set(options.omit?.map((name) => name.toLowerCase()));
  const kept = Object.entries(usual).filter(([name]) => !omitted.has(name.toLowerCase()));
  const lines = [...kept.map(([name, value]) => `${name}: ${value}`), ...(options.lines ?? [])];
  return [`GET ${options.path ?? "/"} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

/** Connects, shakes hands, and verifies the 101 and its Sec-WebSocket-Accept; rejects with any other answer. */
export async function openRaw(
  target: string,
  options: UpgradeRequestOptions & ConnectOptions = {},
): Promise<OpenedRawConnection> {
  const connection = await connectRaw(target, options);
  const key = options.key ?? randomBytes(16).toString("base64");
  await connection.write(upgradeRequest({ path: pathOf(target), ...options, key }));
  const response = await connection.readHead();
  if (response.status !== 101) throw new Error(`refused: ${response.raw}${connection.buffered.toString()}`);
  if (response.header("sec-websocket-accept") !== acceptFor(key)) {
    throw new Error(`wrong Sec-WebSocket-Accept: ${response.raw}`);
  }
  return { connection, response };
}

/** Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2), computed apart from src/ws. */
export function acceptFor(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

function openSocket(target: string, options: ConnectOptions): Socket {
  const allowHalfOpen = options.allowHalfOpen ?? false;
  if (target.startsWith("unix:")) {
    return connectTcp({ path: target.slice("unix:".length), allowHalfOpen });
  }
  const { hostname, port } = new URL(target);
  const address = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port), allowHalfOpen };
  return isTls(target) ? connectTls({ ...address, ...options.tls }) : connectTcp(address);
}

function isTls(target: string): boolean {
  return target.startsWith("wss:") || target.startsWith("https:");
}

function pathOf(target: string): string {
  if (target.startsWith("unix:")) return "/";
  const { pathname, search } = new URL(target);
  return pathname + search;
}
