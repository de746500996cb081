// `?code=&reason=`: what clients that are closed by hand are told instead of `closed by administrator`.

import type { CloseWords } from "../../shared-memory/channel.ts";
import { ApiError } from "./endpoint.ts";

/** RFC 6455 §7.4: those of its codes that a server has reason to send by hand; from 3000 on they are anyone's. */
const SENDABLE = new Set([1000, 1001, 1008, 1011, 1012, 1013]);

/** RFC 6455 §5.5: a Close has 125 bytes at most, two of which are its code. */
const MAX_CLOSE_REASON_BYTES = 123;

/** Null where nothing is asked for. Throws ApiError. */
export function closeWordsOf({ searchParams }: URL): CloseWords | null {
  const code = searchParams.get("code");
  const text = searchParams.get("reason");
  if (code === null && text === null) return null;
  return { code: code === null ? null : codeOf(code), text: text === null ? null : textOf(text) };
}

function codeOf(text: string): number {
  const code = /^\d{4}$/.test(text) ? Number(text) : 0;
  if (SENDABLE.has(code) || (code >= 3000 && code <= 4999)) return code;
  const sendable = [...SENDABLE].join(", ");
  throw new ApiError(400, "bad_request", `code: is one of ${sendable}, or from 3000 to 4999`);
}

function textOf(text: string): string {
  if (Buffer.byteLength(text) <= MAX_CLOSE_REASON_BYTES) return text;
  throw new ApiError(400, "bad_request", `reason: has more than ${MAX_CLOSE_REASON_BYTES} bytes`);
}
