// The words and numbers of RFC 6455 that the rest of Weir shares, and the error for a peer
// that breaks them. Holds no logic.

/** RFC 6455 §5.2. What is not listed is reserved and refused. */
export const Opcode = {
  continuation: 0x0,
  text: 0x1,
  binary: 0x2,
  close: 0x8,
  ping: 0x9,
  pong: 0xa,
} as const;

export const FIN_BIT = 0x80;
export const MASK_BIT = 0x80;

/** The three bits of a frame's first byte that extensions may give a meaning to (RFC 6455 §5.2). */
export const ReservedBits = { none: 0x00, rsv1: 0x40, rsv2: 0x20, rsv3: 0x10, all: 0x70 } as const;

/** Bytes; a control frame must not be longer (RFC 6455 §5.5). */
export const MAX_CONTROL_PAYLOAD_BYTES = 125;

/** Bytes. */
export const MASKING_KEY_BYTES = 4;

/** Concatenated to the key of a handshake before hashing (RFC 6455 §1.3). */
export const HANDSHAKE_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The close codes that Weir sends or names (RFC 6455 §7.4.1 and the IANA registry). */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  /** Never on the wire: a Close without a code. */
  noStatus: 1005,
  /** Never on the wire: the socket ended without a Close. */
  abnormal: 1006,
  policyViolation: 1008,
  messageTooBig: 1009,
  internalError: 1011,
  serviceRestart: 1012,
  tryAgainLater: 1013,
  unauthorized: 3000,
} as const;

export type ProtocolErrorCode =
  | "reserved_bits"
  | "bad_opcode"
  | "control_fragmented"
  | "control_too_long"
  | "unexpected_continuation"
  | "expected_continuation"
  | "mask_required"
  | "mask_forbidden"
  | "length_not_minimal"
  | "length_too_large";

/** A peer broke RFC 6455. `code` is stable; `closeCode` is what that peer should be sent. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;
  readonly closeCode = CloseCode.protocolError;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}
