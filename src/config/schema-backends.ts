// One server behind Weir: an entry of `pools.NAME.backends` or of a `backendsFile`.

import { z } from "zod";
import { backendTarget, filePath, integer, offOr, onOff, text } from "./schema-values.ts";
import { describeValue } from "./units.ts";

/** Where a backend's URL leads. */
export interface BackendTarget {
  /** TLS. */
  readonly secure: boolean;
  /** IPv6 without brackets; empty for a Unix socket. */
  readonly host: string;
  /** 0 for a Unix socket. */
  readonly port: number;
  /** Absolute. */
  readonly socketPath: string | null;
  /** Prefix of every request path: empty or `/base`, no trailing slash. */
  readonly basePath: string;
}

interface BackendTlsConfig {
  /** Absolute path of a PEM file; null: the system's CAs. */
  readonly ca: string | null;
  /** Absolute path of a PEM file. */
  readonly cert: string | null;
  /** Absolute path of a PEM file. */
  readonly key: string | null;
  /** Name asked for by SNI and expected in the certificate; null: the URL's host. */
  readonly serverName: string | null;
  readonly verify: boolean;
}

export interface BackendConfig {
  /** Unique in its pool; host:port (or the socket path) unless given. */
  readonly id: string;
  readonly url: string;
  readonly target: BackendTarget;
  /** Connections at most; null: no limit. */
  readonly capacity: number | null;
  readonly weight: number;
  /** Null unless the URL is wss. */
  readonly tls: BackendTlsConfig | null;
  /** Send a PROXY v2 header. */
  readonly proxyProtocol: boolean;
  readonly resolve: "first" | "all";
}

const MAX_CAPACITY = 10_000_000;
const MAX_WEIGHT = 1000;

const tls = z.strictObject({
  ca: offOr(filePath())
    .prefault("off")
    .describe(
      "PEM file of the CAs that the backend's certificate is checked against, instead of the system's.",
    ),
  cert: offOr(filePath())
    .prefault("off")
    .describe("PEM file of the certificate that Weir shows the backend; with `key`."),
  key: offOr(filePath()).prefault("off").describe("PEM file of its private key; with `cert`."),
  serverName: offOr(text("host"))
    .prefault("off")
    .describe("Name that is asked for (SNI) and expected in the certificate, instead of the URL's host."),
  verify: onOff()
    .prefault("on")
    .describe("Check the backend's certificate. Off only for tests: anyone on the way could answer."),
});

const backend = z.strictObject({
  id: text("name", 200)
    .regex(/^\S+$/, { error: "holds spaces" })
    .optional()
    .describe(
      "Name in logs, metrics and the admin API, unique in its pool. Left out: host:port, or the socket's path.",
    ),
  url: backendTarget.describe(
    'Where it is: "ws://host:port", "wss://host:port/base", "unix:/path", or "ws+unix:/path:/base" as the ws library writes it.',
  ),
  capacity: offOr(integer(1, MAX_CAPACITY))
    .prefault("off")
    .describe("Connections at most; a full backend gets no more."),
  weight: integer(1, MAX_WEIGHT)
    .prefault(1)
    .describe("Share of the connections, relative to the pool's other backends."),
  tls: offOr(tls).prefault("off").describe("TLS settings of a wss URL."),
  proxyProtocol: onOff()
    .prefault("off")
    .describe(
      "Send a PROXY protocol header (v2) ahead, so that the backend learns the client's address. Only for backends that expect one; plain requests then have a socket each.",
    ),
  resolve: z
    .enum(["first", "all"])
    .prefault("first")
    .describe("A name with several addresses: use the first that answers, or make each address a backend."),
});

/** A string is short for its url. */
export const backendSchema = z.union(
  [
    z
      .string()
      .transform((url) => ({ url }))
      .pipe(backend),
    backend,
  ],
  {
    error: ({ input }) =>
      `${describeValue(input)} is neither a URL like "ws://host:port" nor a mapping with url`,
  },
);

/** Paths are still relative, and `id` and `tls` may be missing: see resolve.ts. */
export type ParsedBackend = z.output<typeof backend>;
