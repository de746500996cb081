// The one table of refusals: what an upgrade or a request that cannot be served is answered with.
// It says whose fault each is, the HTTP status, the close code for `rejectWith: close`, and whether
// another backend may be tried. README.md prints the same table; a test holds the two together.

/** Whose doing an error is; decides the level it is logged at. */
export type ErrorOrigin = "client" | "backend" | "weir" | "config";

interface ErrorEntry {
  readonly origin: ErrorOrigin;
  /** HTTP status of the answer; null where nobody is left to answer. */
  readonly status: number | null;
  /** Close code under `rejectWith: close`; null where an upgrade cannot be accepted to be closed. */
  readonly closeCode: number | null;
  /** True where another backend may be tried before the client hears of it. */
  readonly retryable: boolean;
  readonly message: string;
}

export const ERRORS = {
  head_too_large: entry("client", 431, null, "the request head is larger than limits.maxHeaderSize"),
  head_timeout: entry("client", 408, null, "the request head was not whole within timeouts.handshake"),
  bad_request: entry("client", 400, null, "malformed HTTP request"),
  bad_upgrade: entry("client", 400, null, "not a valid WebSocket upgrade"),
  address_denied: entry("client", 403, 1008, "clients of this address are not let in"),
  address_limited: entry(
    "client",
    429,
    1013,
    "this address has as many connections, or asks for new ones as fast, as it may",
  ),
  no_route: entry("client", 404, 1008, "no route matches this host and path"),
  origin_not_allowed: entry("client", 403, 1008, "pages of this origin may not connect here"),
  unauthorized: entry("client", 401, 3000, "credentials are needed"),
  auth_unavailable: entry("backend", 503, 1013, "credentials cannot be checked at the moment"),
  banned: entry("client", 429, 1008, "this user is banned for now"),
  draining: entry("weir", 503, 1001, "the server is shutting down"),
  overloaded: entry("weir", 503, 1013, "the server is overloaded"),
  request_limited: entry("client", 429, null, "this user sends too many requests to this route"),
  connections_full: entry("weir", 503, 1013, "the connection limit of the server is reached"),
  tier_full: entry("weir", 503, 1013, "the connection limit of this tier is reached"),
  user_full: entry("client", 429, 1008, "this user has as many connections as its tier allows"),
  upgrade_limited: entry("weir", 503, 1013, "too many new connections at once"),
  backends_full: entry("backend", 503, 1013, "every backend is at its capacity"),
  no_backend: entry("backend", 503, 1013, "no backend is available"),
  backend_failed: retryable("backend", 502, 1013, "the backend could not be reached or answered garbage"),
  backend_timeout: retryable("backend", 504, 1013, "the backend did not answer in time"),
  backend_refused: retryable("backend", null, null, "the backend refused the upgrade"),
  client_gone: entry("client", null, null, "the client left before it was served"),
  http_rejected: entry("client", 426, null, "this address serves WebSocket upgrades only"),
  internal: entry("weir", 500, 1011, "internal error"),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

function entry(
  origin: ErrorOrigin,
  status: number | null,
  closeCode: number | null,
  message: string,
): ErrorEntry {
  return { origin, status, closeCode, retryable: false, message };
}

function retryable(
  origin: ErrorOrigin,
  status: number | null,
  closeCode: number | null,
  message: string,
): ErrorEntry {
  return { origin, status, closeCode, retryable: true, message };
}

/** What another service says to the client. */
export interface ForeignAnswer {
  readonly status: number;
  /** Lower case. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer;
}

interface RefusalOptions {
  /** Overrides the table's text; names the value and the bound, never tokens or payload. */
  readonly message?: string;
  /** What the log says in place of the message, where the client is not to know it. */
  readonly reason?: string;
  /** Overrides the table's status (426 for a foreign WebSocket version). */
  readonly status?: number;
  /** Value of `WWW-Authenticate`: how to show the credentials that are missing or bad. */
  readonly challenge?: string;
  /** Takes the place of our own answer. */
  readonly answer?: ForeignAnswer;
  readonly cause?: unknown;
}

/** An upgrade or request that is not served, with everything its answer and its log line need. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  /** For the log only; the message is the client's. */
  readonly reason: string;
  readonly origin: ErrorOrigin;
  readonly status: number | null;
  readonly closeCode: number | null;
  readonly retryable: boolean;
  readonly challenge: string | null;
  readonly answer: ForeignAnswer | null;

  constructor(code: ErrorCode, options: RefusalOptions = {}) {
    const known: ErrorEntry = ERRORS[code];
    super(options.message ?? known.message, { cause: options.cause });
    this.name = "Refusal";
    this.code = code;
    this.reason = options.reason ?? this.message;
    this.origin = known.origin;
    this.status = options.status ?? known.status;
    this.closeCode = known.closeCode;
    this.retryable = known.retryable;
    this.challenge = options.challenge ?? null;
    this.answer = options.answer ?? null;
  }
}

/**
 * Exit codes of the command line, from sysexits(3) where it has one. The last three are of commands that
 * talk to a running Weir: it cannot be reached, the wait is over before its end, the caller may not.
 */
export const ExitCode = {
  ok: 0,
  usage: 1,
  internal: 70,
  cannotBind: 71,
  unavailable: 69,
  timeout: 75,
  noPermission: 77,
} as const;

/** Weir, or a command to it, cannot start or go on; `exitCode` is what the process ends with. */
export class FatalError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, { cause });
    this.name = "FatalError";
    this.exitCode = exitCode;
  }
}
