// Builds the few frames that are Weir's own (Close, Ping, notices) as bytes. Pure: masking keys
// come from the caller, and frames of the peers never pass through here.

import {
  CloseCode,
  FIN_BIT,
  MASKING_KEY_BYTES,
  MASK_BIT,
  MAX_CONTROL_PAYLOAD_BYTES,
  Opcode,
} from "./protocol.ts";

const CLOSE_CODE_BYTES = 2;
const MAX_REASON_BYTES = MAX_CONTROL_PAYLOAD_BYTES - CLOSE_CODE_BYTES;

export interface FrameToBuild {
  /** One of `Opcode`. */
  readonly opcode: number;
  /** Unmasked; it is copied. */
  readonly payload: Uint8Array;
  /** Default true. */
  readonly fin?: boolean;
  /** 4 random bytes towards a server, null towards a client (RFC 6455 §5.3). */
  readonly maskingKey: Uint8Array | null;
}

export interface CloseFrameToBuild {
  /** `CloseCode.noStatus` builds an empty Close, as it cannot be sent itself (RFC 6455 §7.4.1). */
  readonly code: number;
  /** Cut to 123 bytes of UTF-8, between characters. */
  readonly reason: string;
  /** As in `FrameToBuild`. */
  readonly maskingKey: Uint8Array | null;
}

export function buildFrame({ opcode, payload, fin = true, maskingKey }: FrameToBuild): Buffer {
  const lengthBytes = payload.length < 126 ? 0 : payload.length < 2 ** 16 ? 2 : 8;
  const payloadStart = 2 + lengthBytes + (maskingKey === null ? 0 : MASKING_KEY_BYTES);
  const frame = Buffer.allocUnsafe(payloadStart + payload.length);
  const maskBit = maskingKey === null ? 0 : MASK_BIT;

  frame[0] = (fin ? FIN_BIT : 0) | opcode;
  if (lengthBytes === 0) {
    frame[1] = maskBit | payload.length;
  } else if (lengthBytes === 2) {
    frame[1] = maskBit | 126;
    frame.writeUInt16BE(payload.length, 2);
  } else {
    frame[1] = maskBit | 127;
    frame.writeUInt32BE(Math.floor(payload.length / 2 ** 32), 2);
    frame.writeUInt32BE(payload.length % 2 ** 32, 6);
  }
  frame.set(payload, payloadStart);
  if (maskingKey !== null) {
    frame.set(maskingKey, payloadStart - MASKING_KEY_BYTES);
    mask(frame, payloadStart, maskingKey);
  }
  return frame;
}

export function buildCloseFrame({ code, reason, maskingKey }: CloseFrameToBuild): Buffer {
  return buildFrame({ opcode: Opcode.close, payload: closePayload(code, reason), maskingKey });
}

function closePayload(code: number, reason: string): Buffer {
  if (code === CloseCode.noStatus) return Buffer.alloc(0);
  const payload = Buffer.alloc(MAX_CONTROL_PAYLOAD_BYTES);
  payload.writeUInt16BE(code, 0);
  // Buffer.write stops before a character that does not fit.
  const reasonLength = payload.write(reason, CLOSE_CODE_BYTES, MAX_REASON_BYTES, "utf8");
  return payload.subarray(0, CLOSE_CODE_BYTES + reasonLength);
}

function mask(frame: Buffer, payloadStart: number, maskingKey: Uint8Array): void {
  for (let i = payloadStart; i < frame.length; i++) {
    frame[i] = frame[i]! ^ maskingKey[(i - payloadStart) & 3]!;
  }
}
