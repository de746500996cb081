// Where Weir listens: the `listeners` section, and bind addresses as `admin.bind` uses them too.

import { z } from "zod";
import { bindAddress, blocks, filePath, notAnAddress, offOr, onOff, urlPath } from "./schema-values.ts";
import { describeValue } from "./units.ts";

/** A parsed bind address. */
export type BindAddress =
  | {
      readonly kind: "tcp";
      /** Empty for all interfaces; IPv6 without brackets. */
      readonly host: string;
      /** 0 lets the system choose. */
      readonly port: number;
      /** As written in the file. */
      readonly text: string;
    }
  | {
      readonly kind: "unix";
      /** Absolute. */
      readonly path: string;
      readonly text: string;
    };

interface CertificateConfig {
  /** Absolute path of a PEM file, leaf first. */
  readonly cert: string;
  /** Absolute path of a PEM file. */
  readonly key: string;
}

export interface ListenerTlsConfig {
  /** SNI picks among them; the first serves clients without SNI. */
  readonly certificates: readonly CertificateConfig[];
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** Absolute path of the CA bundle that client certificates are checked against. */
  readonly clientCa: string | null;
  readonly clientCert: "off" | "optional" | "required";
}

export interface ListenerConfig {
  readonly bind: BindAddress;
  readonly tls: ListenerTlsConfig | null;
  /** Expect a PROXY header from trusted proxies. */
  readonly proxyProtocol: boolean;
  /** Path that answers like /readyz on this listener. */
  readonly healthPath: string | null;
  /** Canonical CIDRs; empty allows everyone. */
  readonly allow: readonly string[];
  /** Canonical CIDRs. */
  readonly deny: readonly string[];
}

const certificate = z.strictObject({
  cert: filePath().describe("PEM file of the certificate, leaf first, then its chain."),
  key: filePath().describe("PEM file of the private key."),
});

const tls = z.strictObject({
  certificates: z
    .array(certificate)
    .min(1, { error: "names no certificate" })
    .describe(
      "Certificates to serve; SNI picks among them, and the first serves clients without SNI. Reloaded when the files change.",
    ),
  minVersion: z
    .enum(["TLSv1.2", "TLSv1.3"])
    .prefault("TLSv1.2")
    .describe("Oldest TLS version that is accepted. TLSv1.3 shuts out clients from before 2018."),
  clientCa: offOr(filePath())
    .prefault("off")
    .describe("PEM file of the CAs that client certificates are checked against."),
  clientCert: z
    .enum(["off", "optional", "required"])
    .optional()
    .describe("Whether clients must show a certificate. Left out: required with `clientCa`, else off."),
});

const listener = z.strictObject({
  bind: bindAddress.describe(
    'Where to listen: "host:port", "[::1]:port", ":port" for all interfaces, or "unix:/path". Port 0 lets the system choose. Changing it needs a restart.',
  ),
  tls: offOr(tls)
    .prefault("off")
    .describe("TLS for this listener. Not needed behind a load balancer that ends TLS itself."),
  proxyProtocol: onOff()
    .prefault("off")
    .describe(
      "Expect a PROXY protocol header (v1 or v2) from `trustedProxies`, and take the client's address from it. Leave off unless the balancer in front sends one: without it nobody gets in.",
    ),
  healthPath: offOr(urlPath())
    .prefault("off")
    .describe(
      "Path that answers like /readyz on this listener, for load balancers in front, e.g. /weir-health.",
    ),
  allow: blocks().prefault([]).describe("Only clients from these CIDRs are let in; empty lets everyone in."),
  deny: blocks().prefault([]).describe("Clients from these CIDRs are refused, even where `allow` has them."),
});

/** Paths are still relative, and `clientCert` may be left out: see resolve.ts. */
export type ParsedListener = z.output<typeof listener>;

export const listenersSchema = z
  .array(
    z.union(
      [
        z
          .string()
          .transform((bind) => ({ bind }))
          .pipe(listener),
        listener,
      ],
      { error: ({ input }) => notAnAddress(input) },
    ),
    { error: ({ input }) => `${describeValue(input)} is not a list of listeners like [":8080"]` },
  )
  .min(1, { error: 'names no listener, e.g. [":8080"]' })
  .describe("Addresses that clients connect to. A string is short for { bind: STRING }.");
