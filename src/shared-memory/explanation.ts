// What a data-plane thread is asked, and says, of a request that nobody has sent.

import type { ErrorCode } from "../errors.ts";
import type { AdmitRequest } from "./channel.ts";

/** As a client would send it, and from where. */
export interface AskedRequest {
  readonly kind: "upgrade" | "request";
  /** The request line and the header lines, without the empty line that ends them. */
  readonly headLines: readonly string[];
  /** The peer's address; empty for a Unix socket. */
  readonly peer: string;
}

/** How far the request would get before it is asked whether it may be let in. */
export interface RequestExplanation {
  readonly refusal: ExplainedRefusal | null;
  /** Null where the request has none that could be read. */
  readonly target: { readonly host: string; readonly path: string } | null;
  readonly route: ExplainedRoute | null;
  readonly client: ExplainedClient | null;
  /** What would be asked of others, and was not. */
  readonly unasked: readonly string[];
  /** What admission would be asked; null where it does not come to that. */
  readonly admit: AdmitRequest | null;
}

export interface ExplainedRefusal {
  readonly code: ErrorCode;
  readonly status: number | null;
  readonly closeCode: number | null;
  readonly message: string;
}

interface ExplainedRoute {
  readonly id: string;
  readonly host: string | null;
  readonly path: string | null;
  readonly pool: string;
  readonly auth: string;
}

interface ExplainedClient {
  readonly peer: string;
  readonly isPeerTrusted: boolean;
  readonly address: string;
  /** Where the address is from: `peer`, or the name of the header that was believed. */
  readonly addressFrom: string;
  /** The header of that name is there, and was not believed, since the peer is not trusted. */
  readonly isHeaderIgnored: boolean;
  readonly user: string;
  /** `header X-User`, `cookie session`, `ip` … */
  readonly userFrom: string;
  readonly tier: string;
  /** Likewise; `default` where no source names one. */
  readonly tierFrom: string;
  readonly isSharedAddress: boolean;
}
