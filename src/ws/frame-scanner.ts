// Finds the frames in the byte stream of one direction and checks each header against RFC 6455.
// It only reads: payload is neither copied, unmasked nor kept, and a frame costs no allocation.
// Deciding what to forward, and writing it, is the pipe's business.

import {
  FIN_BIT,
  MASKING_KEY_BYTES,
  MASK_BIT,
  MAX_CONTROL_PAYLOAD_BYTES,
  Opcode,
  ProtocolError,
  ReservedBits,
} from "./protocol.ts";

const OPCODE_BITS = 0x0f;
const LENGTH_BITS = 0x7f;
/** Values of the 7-bit length that say that the length follows in 2 or in 8 bytes. */
const LENGTH_IN_16_BITS = 126;
const LENGTH_IN_64_BITS = 127;

export interface FrameScannerOptions {
  /** True from client to server, where every frame must be masked; false the other way, where none may be. */
  readonly masked: boolean;
  /** The bits of `ReservedBits` that the negotiated extensions allow on data frames. */
  readonly reservedBits: number;
}

/**
 * Per chunk: `chunk = scanner.feed(chunk)`, then `at = scanner.next(chunk, at)` from 0 for as long
 * as `frameReady` is true. The bytes before `at` may be forwarded, and nothing behind it: that is
 * either kept as the carry, and comes back with the next `feed`, or begins a frame in `error`.
 */
export class FrameScanner {
  readonly masked: boolean;
  /** True when the last `next` found a frame, which the fields below then describe. */
  frameReady = false;
  /** Set once and for good by the first violation. */
  error: ProtocolError | null = null;
  /** Offset of the frame's first byte in the chunk. */
  frameStart = 0;
  /** Bytes. */
  payloadLength = 0;
  /** Bytes of the data frame in progress that `next` has not stepped over yet. */
  payloadRemaining = 0;
  /** Payload bytes of the current message's frames so far, the frame just ready included. */
  messageLength = 0;
  /** `Opcode.text` or `Opcode.binary`, of the current message; its continuations do not say. */
  messageOpcode: number = Opcode.continuation;

  readonly #reservedBits: number;
  readonly #maskBit: number;
  readonly #shortHeaderLength: number;
  /** The bits of a first byte that must read as opcode 1 or 2 for the frame to start a message. */
  readonly #messageStartBits: number;
  #firstByte = 0;
  /** A message has begun, and its last frame has not. */
  #isFragmented = false;
  #carry: Buffer | null = null;

  constructor({ masked, reservedBits }: FrameScannerOptions) {
    this.masked = masked;
    this.#reservedBits = reservedBits;
    this.#maskBit = masked ? MASK_BIT : 0;
    this.#shortHeaderLength = masked ? 2 + MASKING_KEY_BYTES : 2;
    this.#messageStartBits = 0xff & ~(FIN_BIT | reservedBits);
  }

  get opcode(): number {
    return this.#firstByte & OPCODE_BITS;
  }

  get fin(): boolean {
    return (this.#firstByte & FIN_BIT) !== 0;
  }

  get rsv1(): boolean {
    return (this.#firstByte & ReservedBits.rsv1) !== 0;
  }

  /** The frame is the first one of a message. */
  get isMessageStart(): boolean {
    const { opcode } = this;
    return opcode === Opcode.text || opcode === Opcode.binary;
  }

  /** At the offset that `next` returned last, a frame of ours may be put in. */
  get isAtFrameBoundary(): boolean {
    return this.payloadRemaining === 0;
  }

  /** At the offset that `next` returned last, a message of ours may be put in. */
  get isAtMessageBoundary(): boolean {
    return this.payloadRemaining === 0 && !this.#isFragmented;
  }

  /** Bytes held back because their frame's header, or their control frame, is not whole yet. */
  get carryLength(): number {
    return this.#carry === null ? 0 : this.#carry.length;
  }

  /** Stands where `other` stands in the stream, between chunks; without its carry. */
  copyFrom(other: FrameScanner): void {
    this.payloadRemaining = other.payloadRemaining;
    this.#isFragmented = other.#isFragmented;
    this.#carry = null;
  }

  /** Stands at a message boundary. */
  reset(): void {
    this.payloadRemaining = 0;
    this.#isFragmented = false;
    this.#carry = null;
  }

  /** The carry followed by `chunk`; `chunk` itself when nothing is carried. */
  feed(chunk: Buffer): Buffer {
    const carry = this.#carry;
    if (carry === null) return chunk;
    this.#carry = null;
    return Buffer.concat([carry, chunk], carry.length + chunk.length);
  }

  /**
   * Steps over the rest of the payload in progress, then reads one frame: a data frame's header, or
   * a whole control frame. `chunk` must be what `feed` returned, `at` what the last call returned.
   * Returns the offset up to which bytes may be forwarded.
   */
  next(chunk: Buffer, at: number): number {
    const end = chunk.length;
    let start = at;
    if (this.payloadRemaining > 0) {
      const available = end - at;
      if (available <= this.payloadRemaining) {
        this.payloadRemaining -= available;
        this.frameReady = false;
        return end;
      }
      start += this.payloadRemaining;
      this.payloadRemaining = 0;
    }
    // The common case, inlined: a data frame that starts a message, its length in 7 bits.
    const headerEnd = start + this.#shortHeaderLength;
    if (headerEnd <= end && !this.#isFragmented && this.error === null) {
      const first = byteAt(chunk, start);
      const kind = first & this.#messageStartBits;
      // A wrong mask bit makes this 128 or more.
      const length = byteAt(chunk, start + 1) ^ this.#maskBit;
      if (length < LENGTH_IN_16_BITS && (kind === Opcode.text || kind === Opcode.binary)) {
        this.#firstByte = first;
        this.frameStart = start;
        this.payloadLength = length;
        this.payloadRemaining = length;
        this.messageLength = length;
        this.messageOpcode = kind;
        this.#isFragmented = first < FIN_BIT;
        this.frameReady = true;
        return headerEnd;
      }
    }
    return this.#readFrame(chunk, start);
  }

  /** An unmasked copy of the payload of the control frame just ready in `chunk`. */
  controlPayload(chunk: Buffer): Buffer {
    const start = this.frameStart + this.#shortHeaderLength;
    const payload = Buffer.from(chunk.subarray(start, start + this.payloadLength));
    if (this.masked) {
      for (let i = 0; i < payload.length; i++) {
        payload[i] = byteAt(payload, i) ^ byteAt(chunk, start - MASKING_KEY_BYTES + (i & 3));
      }
    }
    return payload;
  }

  /** Every byte that is there is checked before more are waited for, so a bad frame ends at once. */
  #readFrame(chunk: Buffer, start: number): number {
    this.frameReady = false;
    const available = chunk.length - start;
    if (this.error !== null || available === 0) return start;

    const first = byteAt(chunk, start);
    this.error = checkFirstByte(first, this.#isFragmented, this.#reservedBits);
    if (this.error !== null) return start;
    if (available === 1) return this.#keep(chunk, start);

    const second = byteAt(chunk, start + 1);
    this.error = checkSecondByte(first, second, this.#maskBit);
    if (this.error !== null) return start;

    const shortLength = second & LENGTH_BITS;
    if (isControl(first)) {
      const frameEnd = start + this.#shortHeaderLength + shortLength;
      if (frameEnd > chunk.length) return this.#keep(chunk, start);
      this.#take(first, start, shortLength);
      return frameEnd;
    }

    let headerEnd = start + this.#shortHeaderLength;
    let length = shortLength;
    if (shortLength === LENGTH_IN_16_BITS) {
      this.error = checkLength16(chunk, start);
      headerEnd += 2;
      if (headerEnd <= chunk.length) length = (byteAt(chunk, start + 2) << 8) | byteAt(chunk, start + 3);
    } else if (shortLength === LENGTH_IN_64_BITS) {
      this.error = checkLength64(chunk, start);
      headerEnd += 8;
      if (headerEnd <= chunk.length) {
        length = chunk.readUInt32BE(start + 2) * 2 ** 32 + chunk.readUInt32BE(start + 6);
      }
    }
    if (this.error !== null) return start;
    if (headerEnd > chunk.length) return this.#keep(chunk, start);

    this.#take(first, start, length);
    this.payloadRemaining = length;
    if (this.isMessageStart) {
      this.messageOpcode = this.opcode;
      this.messageLength = length;
    } else {
      this.messageLength += length;
    }
    this.#isFragmented = !this.fin;
    return headerEnd;
  }

  #take(first: number, start: number, length: number): void {
    this.#firstByte = first;
    this.frameStart = start;
    this.payloadLength = length;
    this.frameReady = true;
  }

  /** The carry has memory of its own: it may live long, and must pin neither the chunk nor a pool slab. */
  #keep(chunk: Buffer, start: number): number {
    const carry = Buffer.allocUnsafeSlow(chunk.length - start);
    chunk.copy(carry, 0, start);
    this.#carry = carry;
    return start;
  }
}

/** The byte at an offset that the caller knows to lie within the chunk. */
function byteAt(chunk: Buffer, offset: number): number {
  return chunk[offset]!;
}

function isControl(first: number): boolean {
  return (first & OPCODE_BITS) >= Opcode.close;
}

function checkFirstByte(first: number, isFragmented: boolean, allowedBits: number): ProtocolError | null {
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

function checkSecondByte(first: number, second: number, maskBit: number): ProtocolError | null {
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
function checkLength16(chunk: Buffer, start: number): ProtocolError | null {
  if (chunk.length - start < 4 || byteAt(chunk, start + 2) !== 0) return null;
  const length = byteAt(chunk, start + 3);
  if (length >= LENGTH_IN_16_BITS) return null;
  return new ProtocolError("length_not_minimal", `length ${length} encoded in 16 bits`);
}

/** Bytes 2 to 9 of the frame hold the length. 2^53 and more is beyond exact numbers, and §5.2's 2^63. */
function checkLength64(chunk: Buffer, start: number): ProtocolError | null {
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
