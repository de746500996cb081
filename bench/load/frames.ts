// Prebuilt WebSocket frames for the load: what the generator sends, and what must come back.
// Its own few lines on purpose: a bench that used the proxy's builder would share its mistakes.

const TEXT = 0x81;
const BINARY = 0x82;
const CLOSE = 0x88;
const MASK_BIT = 0x80;
const LENGTH_IN_16_BITS = 126;
const LENGTH_IN_64_BITS = 127;
const FILLER = 0x78;

/** Not zero: `ws` skips the unmasking of a zero key, which would flatter the relay built on it. */
const MASKING_KEY = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

/** Small messages are text, as chat is; larger ones binary. */
const LARGEST_TEXT_BYTES = 1024;

/** What a client sends: `count` times the same masked message. */
export function maskedFrames(payloadBytes: number, count: number): Buffer {
  const frame = Buffer.concat([maskedHeader(payloadBytes), maskedFiller(payloadBytes)]);
  return repeat(frame, count);
}

/** What the echo of `maskedFrames` looks like on the wire. */
export function echoFrames(payloadBytes: number, count: number): Buffer {
  return repeat(Buffer.concat([echoHeader(payloadBytes), Buffer.alloc(payloadBytes, FILLER)]), count);
}

export function maskedHeader(payloadBytes: number): Buffer {
  return Buffer.concat([header(payloadBytes, MASK_BIT), MASKING_KEY]);
}

export function echoHeader(payloadBytes: number): Buffer {
  return header(payloadBytes, 0);
}

/** A piece of a masked payload whose offset in the payload is a multiple of four. */
export function maskedFiller(bytes: number): Buffer {
  return Buffer.alloc(
    bytes,
    MASKING_KEY.map((byte) => byte ^ FILLER),
  );
}

export function filler(bytes: number): Buffer {
  return Buffer.alloc(bytes, FILLER);
}

/** An unmasked Close, as a server sends it. */
export function closeFrame(code: number): Buffer {
  return Buffer.from([CLOSE, 2, code >> 8, code & 0xff]);
}

/** A masked Close, as a client sends it. */
export function maskedCloseFrame(code: number): Buffer {
  return maskedControlFrame(CLOSE, Buffer.from([code >> 8, code & 0xff]));
}

/** A masked control frame, as a client sends it. */
export function maskedControlFrame(firstByte: number, payload: Buffer): Buffer {
  const body = payload.map((byte, i) => byte ^ (MASKING_KEY[i % MASKING_KEY.length] ?? 0));
  return Buffer.from([firstByte, MASK_BIT | payload.length, ...MASKING_KEY, ...body]);
}

function header(payloadBytes: number, maskBit: number): Buffer {
  const opcode = payloadBytes <= LARGEST_TEXT_BYTES ? TEXT : BINARY;
  if (payloadBytes < LENGTH_IN_16_BITS) return Buffer.from([opcode, maskBit | payloadBytes]);
  if (payloadBytes < 2 ** 16) {
    return Buffer.from([opcode, maskBit | LENGTH_IN_16_BITS, payloadBytes >> 8, payloadBytes & 0xff]);
  }
  const long = Buffer.alloc(10);
  long[0] = opcode;
  long[1] = maskBit | LENGTH_IN_64_BITS;
  long.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return long;
}

function repeat(frame: Buffer, count: number): Buffer {
  return Buffer.alloc(frame.length * count, frame);
}
