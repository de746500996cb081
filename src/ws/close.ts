// What a Close frame's payload says (RFC 6455 §5.5.1 and §7.4). Reads only: a peer's Close passes
// through unchanged, whatever stands in it.

import { CloseCode } from "./protocol.ts";

export interface CloseStatus {
  /** `CloseCode.noStatus` when the Close carries none. */
  readonly code: number;
  readonly reason: string;
}

/** `payload` is unmasked. Bytes that are not UTF-8 become U+FFFD in the reason. */
export function parseClosePayload(payload: Buffer): CloseStatus {
  // A single byte is malformed; it holds no code either.
  if (payload.length < 2) return { code: CloseCode.noStatus, reason: "" };
  return { code: payload.readUInt16BE(0), reason: payload.toString("utf8", 2) };
}

/** Whether an endpoint may put the code on the wire: RFC 6455 §7.4 and the codes registered since. */
export function isValidCloseCode(code: number): boolean {
  if (!Number.isInteger(code)) return false;
  if (code >= 3000) return code <= 4999;
  if (code < 1000 || code > 1014) return false;
  return code !== 1004 && code !== CloseCode.noStatus && code !== CloseCode.abnormal;
}

/** A label of bounded cardinality: `1000` to `1015`, `3xxx`, `4xxx` or `other`. */
export function closeCodeLabel(code: number): string {
  if (code >= 1000 && code <= 1015) return String(code);
  if (code >= 3000 && code <= 3999) return "3xxx";
  if (code >= 4000 && code <= 4999) return "4xxx";
  return "other";
}
