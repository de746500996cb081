// Refuses an upgrade by accepting it and closing it at once: a browser's script can read a close code,
// but neither the status nor the body of an HTTP answer. Nothing that the client sends is kept.

import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Refusal } from "../errors.ts";
import { buildCloseFrame } from "../ws/frame-builder.ts";
import { FrameScanner } from "../ws/frame-scanner.ts";
import { acceptKey, joinedHeader, parseTokenList } from "../ws/handshake.ts";
import { CloseCode, Opcode, ReservedBits } from "../ws/protocol.ts";
import { TOKEN_PROTOCOL, withoutTokenProtocols } from "./credentials/token-places.ts";
import { countRead } from "./read-garbage.ts";
import { writeSwitchingProtocols } from "./switching-protocols.ts";

export interface CloseRefusal {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  /** What the client has sent behind its upgrade. */
  readonly head: Buffer;
  readonly refusal: Refusal;
  /** How long the client has to answer the Close and to leave. */
  readonly closeTimeoutMs: number;
  /** Whether a token may be among the client's subprotocols. */
  readonly hasTokenProtocols: boolean;
}

/** The upgrade must be a valid one; its refusal must have a close code. The socket ends by itself. */
export function refuseByClose(options: CloseRefusal): void {
  const { request, socket, head, refusal, closeTimeoutMs, hasTokenProtocols } = options;
  const { closeCode, code } = refusal;
  // One segment on the wire.
  socket.cork();
  // No extension is agreed, whatever was offered.
  writeSwitchingProtocols(socket, acceptHeaders(request.rawHeaders, hasTokenProtocols), null);
  socket.write(buildCloseFrame({ code: closeCode ?? CloseCode.noStatus, reason: code, maskingKey: null }));
  socket.uncork();
  new RefusedClient(socket, closeTimeoutMs).start(head);
}

function acceptHeaders(rawHeaders: readonly string[], hasTokenProtocols: boolean): string[] {
  const headers = ["Sec-WebSocket-Accept", acceptKey(joinedHeader(rawHeaders, "sec-websocket-key") ?? "")];
  const protocol = selectProtocol(rawHeaders, hasTokenProtocols);
  if (protocol !== null) headers.push("Sec-WebSocket-Protocol", protocol);
  return headers;
}

/**
 * The client's first subprotocol: a browser reports 1006 where it offered some and got none. A token and the
 * subprotocol before it are passed over, unless there is no other.
 */
function selectProtocol(rawHeaders: readonly string[], hasTokenProtocols: boolean): string | null {
  const offered = parseTokenList(joinedHeader(rawHeaders, "sec-websocket-protocol") ?? "") ?? [];
  if (!hasTokenProtocols || offered.length === 0) return offered[0] ?? null;
  return withoutTokenProtocols(offered)[0] ?? TOKEN_PROTOCOL;
}

/**
 * A client that was sent its Close. It is read on, lest the system send a RST that overtakes the Close, but
 * only to find its own: there is no more of it in memory than the beginning of one frame.
 */
class RefusedClient {
  readonly #socket: Socket;
  readonly #deadline: NodeJS.Timeout;
  /** Null once no Close can come any more: it was there, or what came was no frame. */
  #scanner: FrameScanner | null = new FrameScanner({ masked: true, reservedBits: ReservedBits.none });

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#deadline = setTimeout(() => socket.destroy(), timeoutMs);
  }

  start(head: Buffer): void {
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => this.#end());
    socket.on("close", () => clearTimeout(this.#deadline));
    this.#read(head);
    if (socket.readableEnded) this.#end();
    // Who sent much before its answer was not read any further.
    socket.resume();
  }

  #read(chunk: Buffer): void {
    countRead(chunk.length);
    const scanner = this.#scanner;
    if (scanner === null) return;
    const bytes = scanner.feed(chunk);
    let at = 0;
    do at = scanner.next(bytes, at);
    while (scanner.frameReady && scanner.opcode !== Opcode.close);
    if (scanner.frameReady || scanner.error !== null) this.#end();
  }

  /** The client still reads what it was sent; what it sends is thrown away until it leaves. */
  #end(): void {
    this.#scanner = null;
    this.#socket.end();
  }
}
