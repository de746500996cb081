// One version of the configuration as a worker thread uses it: routes compiled, certificates read.

import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import type { BackendConfig, Config, PoolConfig } from "../config/schema.ts";
import type { TierConfig } from "../config/schema-limits.ts";
import { TrustedProxies } from "./client-address.ts";
import { IdentitySources, trustedHeaders } from "./identity-sources.ts";
import { Routes } from "./routes.ts";

/** A backend with all that dialling it needs. */
export interface DialTarget {
  readonly config: BackendConfig;
  readonly pool: PoolConfig;
  /** Null for a backend without TLS. */
  readonly secureContext: tls.SecureContext | null;
}

export class Settings {
  readonly config: Config;
  readonly routes: Routes;
  readonly trustedProxies: TrustedProxies;
  /** Header lines that only trusted peers may send; lower case, `-` for `_`. */
  readonly trustedHeaders: ReadonlySet<string>;
  readonly identity: IdentitySources;
  /** The tier of users that no source gives another. */
  readonly defaultTier: string;
  readonly #targets = new Map<string, DialTarget>();

  /** Throws where a file that the configuration names cannot be read or used. */
  constructor(config: Config) {
    this.config = config;
    this.routes = new Routes(config.routes);
    this.trustedProxies = new TrustedProxies(config.trustedProxies);
    this.trustedHeaders = trustedHeaders(config);
    this.identity = new IdentitySources(config);
    this.defaultTier = Object.entries(config.tiers).find(([, tier]) => tier.default)?.[0] ?? "default";
    for (const [poolName, pool] of Object.entries(config.pools)) {
      for (const backend of pool.backends) {
        this.#targets.set(targetKey(poolName, backend.id), {
          config: backend,
          pool,
          secureContext: backend.target.secure ? createSecureContext(backend) : null,
        });
      }
    }
  }

  /** The tier of this name; the default one where a reload took it away. */
  tier(name: string): TierConfig | undefined {
    return this.config.tiers[name] ?? this.config.tiers[this.defaultTier];
  }

  /** Undefined where a reload took the backend away between its grant and now. */
  target(pool: string, backend: string): DialTarget | undefined {
    return this.#targets.get(targetKey(pool, backend));
  }
}

/** What both kinds of dial give `tls.connect`. SNI carries names only (RFC 6066 §3). */
export function tlsOptions({ config, secureContext }: DialTarget): tls.ConnectionOptions {
  const name = config.tls?.serverName ?? config.target.host;
  return {
    ...(secureContext === null ? {} : { secureContext }),
    ...(name === "" || net.isIP(name) !== 0 ? {} : { servername: name }),
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: config.tls?.verify ?? true,
  };
}

function targetKey(pool: string, backend: string): string {
  return `${pool}\n${backend}`;
}

function createSecureContext({ id, tls: options }: BackendConfig): tls.SecureContext {
  try {
    return tls.createSecureContext({
      ...(options?.ca ? { ca: readFileSync(options.ca) } : {}),
      ...(options?.cert ? { cert: readFileSync(options.cert) } : {}),
      ...(options?.key ? { key: readFileSync(options.key) } : {}),
    });
  } catch (cause) {
    throw new Error(`backend ${id}: tls: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
