// The header of a frame (RFC 6455 §5.2) and the rules that it must keep to, each checked as soon as its bytes
// are here. Null means that nothing is wrong so far.

import {
  FIN_BIT,
  MASK_BIT,
  MAX_CONTROL_PAYLOAD_BYTES,
  Opcode,
  ProtocolError,
  ReservedBits,
} from "./protocol.ts";

export const OPCODE_BITS = 0x0f;
export const LENGTH_BITS = 0x7f;
/** Values of the 7-bit length that say that the length follows in 2 or in 8 bytes. */
export const LENGTH_IN_16_BITS = 126;
export const LENGTH_IN_64_BITS = 127;

/** The byte at an offset that the caller knows to lie within the chunk. */
export function byteAt(chunk: Buffer, offset: number): number {
  return chunk[offset]!;
}

export function isControl(first: number): boolean {
  return (first & OPCODE_BITS) >= Opcode.close;
}

export function checkFirstByte(
  first: number,
  isFragmented: boolean,
  allowedBits: number,
): ProtocolError | null {
  const opcode = first & OPCODE_BITS;
  if (opcode > Opcode.pong || (opcode > Opcode.binary && opcode < Opcode.close)) {
    return new ProtocolError("bad_opcode", `opcode 0x${opcode.toString(16)} is reserved`);
  }
  const strayBits = first & ReservedBits.all & ~allowedOn(opcode, allowedBits);
  if (strayBits !== 0) {
    const bits = `0x${strayBits.toString(16)}`;
    return new ProtocolError("reserved_bits", `reserved bits ${bits} set on a frame of opcode ${opcode}`);
  }
  if (isControl(first)) {
    if ((first & FIN_BIT) !== 0) return null;
    return new ProtocolError("control_fragmented", `control frame of opcode ${opcode} without FIN`);
  }
  if (opcode === Opcode.continuation) {
    if (isFragmented) return null;
    return new ProtocolError("unexpected_continuation", "continuation frame outside a fragmented message");
  }
  if (!isFragmented) return null;
  return new ProtocolError("expected_continuation", `opcode ${opcode} inside a fragmented message`);
}

/**
 * permessage-deflate marks the first frame of a message only (RFC 7692 §6.1). An extension that we
 * do not know may mark any data frame.
 */
function allowedOn(opcode: number, allowedBits: number): number {
  if (opcode >= Opcode.close) return ReservedBits.none;
  if (opcode === Opcode.continuation && allowedBits === ReservedBits.rsv1) return ReservedBits.none;
  return allowedBits;
}

export function checkSecondByte(first: number, second: number, maskBit: number): ProtocolError | null {
  if ((second & MASK_BIT) !== maskBit) {
    return maskBit === 0
      ? new ProtocolError("mask_forbidden", "masked frame from a server")
      : new ProtocolError("mask_required", "unmasked frame from a client");
  }
  if (isControl(first) && (second & LENGTH_BITS) > MAX_CONTROL_PAYLOAD_BYTES) {
    const limit = `over ${MAX_CONTROL_PAYLOAD_BYTES} bytes`;
    return new ProtocolError("control_too_long", `payload of a control frame is ${limit}`);
  }
  return null;
}

/** RFC 6455 §5.2: the minimal number of bytes must encode the length. */
export function checkLength16(chunk: Buffer, start: number): ProtocolError | null {
  if (chunk.length - start < 4 || byteAt(chunk, start + 2) !== 0) return null;
  const length = byteAt(chunk, start + 3);
  if (length >= LENGTH_IN_16_BITS) return null;
  return new ProtocolError("length_not_minimal", `length ${length} encoded in 16 bits`);
}

/** Bytes 2 to 9 of the frame hold the length. 2^53 and more is beyond exact numbers, and §5.2's 2^63. */
export function checkLength64(chunk: Buffer, start: number): ProtocolError | null {
  const available = chunk.length - start;
  if (
    (available > 2 && byteAt(chunk, start + 2) !== 0) ||
    (available > 3 && byteAt(chunk, start + 3) > 0x1f)
  ) {
    return new ProtocolError("length_too_large", "frame length is 2^53 bytes or more");
  }
  if (available < 8) return null;
  for (let offset = start + 3; offset < start + 8; offset++) {
    if (byteAt(chunk, offset) !== 0) return null;
  }
  return new ProtocolError("length_not_minimal", "length below 2^16 encoded in 64 bits");
}
