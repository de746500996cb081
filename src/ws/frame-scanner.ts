// Finds the frames in the byte stream of one direction, and the first one that breaks RFC 6455.
// It only reads: payload is neither copied, unmasked nor kept, and a frame costs no allocation.
// Deciding what to forward, and writing it, is the pipe's business.

import {
  byteAt,
  checkFirstByte,
  checkLength16,
  checkLength64,
  checkSecondByte,
  isControl,
  LENGTH_BITS,
  LENGTH_IN_16_BITS,
  LENGTH_IN_64_BITS,
  OPCODE_BITS,
} from "./frame-header.ts";
import {
  FIN_BIT,
  MASK_BIT,
  MASKING_KEY_BYTES,
  Opcode,
  type ProtocolError,
  ReservedBits,
} from "./protocol.ts";

/** Bytes of payload that the 7-bit length can tell. An own constant: an import costs a load for each frame. */
const MAX_SHORT_LENGTH = 125;

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

  /** What it was made with. */
  get options(): FrameScannerOptions {
    return { masked: this.masked, reservedBits: this.#reservedBits };
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
      if (length <= MAX_SHORT_LENGTH && (kind === Opcode.text || kind === Opcode.binary)) {
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
