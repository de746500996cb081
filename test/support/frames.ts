// RFC 6455 frames for tests, on purpose its own code and not src/ws: an oracle must not share the
// mistakes of what it judges. Builds broken frames as readily as whole ones; makes no checks.

export const opcodes = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

export interface Frame {
  readonly fin: boolean;
  /** The three reserved bits as a number: 4 is RSV1 (compressed). */
  readonly rsv: number;
  readonly opcode: number;
  readonly masked: boolean;
  /** Unmasked. */
  readonly payload: Buffer;
}

export interface FrameSpec {
  readonly opcode: number;
  readonly payload?: Buffer | string;
  /** Default true. */
  readonly fin?: boolean;
  readonly rsv?: number;
  /** Four bytes; left out, the frame is not masked. */
  readonly maskingKey?: Buffer;
  /** Forces the 16-bit or 64-bit form of the length, minimal or not. */
  readonly lengthForm?: 16 | 64;
  /** What the header says instead of the payload's length, e.g. for a payload that never comes whole. */
  readonly declaredLength?: number | bigint;
}

export function encodeFrame(spec: FrameSpec): Buffer {
  const payload = Buffer.from(spec.payload ?? "");
  const length = BigInt(spec.declaredLength ?? payload.length);
  const form = spec.lengthForm ?? (length > 0xffffn ? 64 : length > 125n ? 16 : 7);
  const first = ((spec.fin ?? true) ? 0x80 : 0) | ((spec.rsv ?? 0) << 4) | spec.opcode;
  const maskBit = spec.maskingKey === undefined ? 0 : 0x80;
  const extended = Buffer.alloc(form === 64 ? 8 : form === 16 ? 2 : 0);
  if (form === 64) extended.writeBigUInt64BE(length);
  if (form === 16) extended.writeUInt16BE(Number(length));
  const short = form === 64 ? 127 : form === 16 ? 126 : Number(length);
  const header = Buffer.concat([
    Buffer.of(first, maskBit | short),
    extended,
    spec.maskingKey ?? Buffer.alloc(0),
  ]);
  return Buffer.concat([
    header,
    spec.maskingKey === undefined ? payload : applyMask(payload, spec.maskingKey),
  ]);
}

/** The first frame of `bytes` and how many bytes it takes, or undefined while it is not whole. */
export function decodeFrame(bytes: Buffer): { frame: Frame; length: number } | undefined {
  if (bytes.length < 2) return undefined;
  const first = bytes.readUInt8(0);
  const second = bytes.readUInt8(1);
  const masked = (second & 0x80) !== 0;
  const short = second & 0x7f;
  const extendedBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
  const headerLength = 2 + extendedBytes + (masked ? 4 : 0);
  if (bytes.length < headerLength) return undefined;
  const payloadLength =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  const length = headerLength + payloadLength;
  if (bytes.length < length) return undefined;
  const body = bytes.subarray(headerLength, length);
  const payload = masked
    ? applyMask(body, bytes.subarray(headerLength - 4, headerLength))
    : Buffer.from(body);
  return {
    frame: { fin: (first & 0x80) !== 0, rsv: (first >> 4) & 0x7, opcode: first & 0xf, masked, payload },
    length,
  };
}

/** The payload of a Close frame; without a code it is empty. */
export function closePayload(code?: number, reason = ""): Buffer {
  if (code === undefined) return Buffer.alloc(0);
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

/** Code and reason of a Close frame; an empty one is 1005, as in RFC 6455 §7.1.5. */
export function parseClose(frame: Frame): { code: number; reason: string } {
  if (frame.opcode !== opcodes.close) throw new Error(`not a Close frame: opcode ${frame.opcode}`);
  if (frame.payload.length === 0) return { code: 1005, reason: "" };
  return { code: frame.payload.readUInt16BE(0), reason: frame.payload.toString("utf8", 2) };
}

function applyMask(payload: Buffer, maskingKey: Buffer): Buffer {
  return Buffer.from(payload.map((byte, index) => byte ^ (maskingKey[index % 4] ?? 0)));
}
