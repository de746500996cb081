// Runs a FrameScanner over a byte stream cut into chunks and records all that it says: what the
// conformance and property tests compare.

import { FrameScanner, type FrameScannerOptions } from "../../src/ws/frame-scanner.ts";
import { Opcode, type ProtocolErrorCode } from "../../src/ws/protocol.ts";

interface FrameSeen {
  /** Offset of its first byte in the stream. */
  readonly start: number;
  readonly opcode: number;
  readonly fin: boolean;
  readonly rsv1: boolean;
  readonly payloadLength: number;
  readonly isMessageStart: boolean;
  /** So far, and of which kind: of the message in progress, or of the last one for a control frame. */
  readonly messageLength: number;
  readonly messageOpcode: number;
  /** Unmasked; of a control frame only. */
  readonly payload: string | null;
}

/** What an application would have been told. */
export type MessageSeen =
  | { readonly type: "text" | "binary"; readonly length: number; readonly compressed: boolean }
  | { readonly type: "ping" | "pong"; readonly payload: string }
  | { readonly type: "close"; readonly payload: string };

export interface FrameRecord {
  readonly frames: FrameSeen[];
  readonly messages: MessageSeen[];
  /** All that might be forwarded, in hex. */
  readonly forwarded: string;
  readonly errorCode: ProtocolErrorCode | null;
  readonly carryLength: number;
}

/** Where in the stream the scanner stood between two frames, or messages, when a chunk was read. */
export interface Boundaries {
  readonly frame: number[];
  readonly message: number[];
}

export function recordFrames(
  options: FrameScannerOptions,
  chunks: readonly Buffer[],
  boundaries: Boundaries = { frame: [], message: [] },
): FrameRecord {
  const scanner = new FrameScanner(options);
  const frames: FrameSeen[] = [];
  const messages: MessageSeen[] = [];
  const forwarded: Buffer[] = [];
  let forwardedLength = 0;
  let pending: MessageSeen | null = null;
  let compressed = false;

  for (const chunk of chunks) {
    const fed = scanner.feed(chunk);
    let at = 0;
    for (;;) {
      at = scanner.next(fed, at);
      if (pending !== null && (scanner.frameReady || scanner.payloadRemaining === 0)) {
        messages.push(pending);
        pending = null;
      }
      if (!scanner.frameReady) break;
      const { opcode, fin, rsv1, isMessageStart } = scanner;
      const payload = opcode < Opcode.close ? null : scanner.controlPayload(fed).toString("hex");
      frames.push({
        start: forwardedLength + scanner.frameStart,
        opcode,
        fin,
        rsv1,
        payloadLength: scanner.payloadLength,
        isMessageStart,
        messageLength: scanner.messageLength,
        messageOpcode: scanner.messageOpcode,
        payload,
      });
      if (payload !== null) {
        messages.push({ type: controlName(opcode), payload });
        continue;
      }
      if (isMessageStart) compressed = rsv1;
      if (fin) {
        const type = scanner.messageOpcode === Opcode.text ? "text" : "binary";
        pending = { type, length: scanner.messageLength, compressed };
      }
    }
    forwarded.push(Buffer.from(fed.subarray(0, at)));
    forwardedLength += at;
    if (scanner.isAtFrameBoundary) boundaries.frame.push(forwardedLength);
    if (scanner.isAtMessageBoundary) boundaries.message.push(forwardedLength);
  }
  return {
    frames,
    messages,
    forwarded: Buffer.concat(forwarded).toString("hex"),
    errorCode: scanner.error?.code ?? null,
    carryLength: scanner.carryLength,
  };
}

/** The stream cut at the given offsets. */
export function cut(stream: Buffer, offsets: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let start = 0;
  for (const end of [...offsets].toSorted((a, b) => a - b)) {
    chunks.push(stream.subarray(start, end));
    start = end;
  }
  chunks.push(stream.subarray(start));
  return chunks;
}

export function cutIntoBytes(stream: Buffer): Buffer[] {
  return Array.from(stream, (byte) => Buffer.of(byte));
}

function controlName(opcode: number): "ping" | "pong" | "close" {
  if (opcode === Opcode.ping) return "ping";
  return opcode === Opcode.pong ? "pong" : "close";
}
