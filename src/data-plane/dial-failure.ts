// How a dial fails, and whether the backend is to blame for it.

import { Refusal } from "../errors.ts";
import type { FailureKind } from "../shared-memory/channel.ts";

/** What a call fails with for want of something on our side: descriptors, memory, ports, permission, a resolver. */
const OUR_OWN_LACK: ReadonlySet<string | undefined> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "EADDRNOTAVAIL",
  "EADDRINUSE",
  "EACCES",
  "EPERM",
  "EAI_AGAIN",
  "EAI_MEMORY",
]);

/** `backend_timeout` for the fault `timeout`, else `backend_failed`. */
export class DialFailure extends Refusal {
  /** Null where the reason is on our side. */
  readonly fault: FailureKind | null;

  constructor(fault: FailureKind | null, message: string, cause?: unknown) {
    super(fault === "timeout" ? "backend_timeout" : "backend_failed", { message, cause });
    this.fault = fault;
  }
}

/** No socket came about, for this error of the system, of its resolver or of TLS. */
export function connectFailure(error: NodeJS.ErrnoException): DialFailure {
  const fault = OUR_OWN_LACK.has(error.code) ? null : "connect";
  return new DialFailure(fault, `the backend failed: ${error.code ?? error.message}`, error);
}

/** What the backend is to blame for; null where it is not. */
export function faultOf(refusal: Refusal): FailureKind | null {
  return refusal instanceof DialFailure ? refusal.fault : null;
}
