// One version of the configuration as a worker thread uses it: routes compiled, certificates read.

import { readFileSync } from "node:fs";
import type { Config } from "../config/schema.ts";
import type { TierConfig } from "../config/schema-limits.ts";
import type { ReadFile } from "../config/tls-files.ts";
import { affinityCookieNames } from "./affinity-cookie.ts";
import { AddressBlocks, AddressRules } from "./client-address.ts";
import type { DialTarget } from "./dial-target.ts";
import { Credentials } from "./credentials/credentials.ts";
import { CredentialServices } from "./credentials/credential-services.ts";
import { DialTargets } from "./dial-targets.ts";
import { IdentitySources, trustedHeaders } from "./identity-sources.ts";
import { Origins } from "./origins.ts";
import { Routes } from "./routes.ts";

/** What a thread keeps over all versions, and where a version reads its files. */
interface SettingsParts {
  /** They take over the new list of backends. */
  readonly targets?: DialTargets;
  readonly services?: CredentialServices;
  /** The file system unless given. */
  readonly readFile?: ReadFile;
}

export class Settings {
  readonly config: Config;
  readonly routes: Routes;
  readonly origins: Origins;
  readonly trustedProxies: AddressBlocks;
  /** By the id of the route. */
  readonly access: ReadonlyMap<string, AddressRules>;
  /** Header lines that only trusted peers may send; lower case, `-` for `_`. */
  readonly trustedHeaders: ReadonlySet<string>;
  /** Names of the pools' own cookies. */
  readonly affinityCookies: ReadonlySet<string>;
  readonly identity: IdentitySources;
  readonly credentials: Credentials;
  /** The tier of users that no source gives another. */
  readonly defaultTier: string;
  readonly #targets: DialTargets;

  /** Throws where a file that the configuration names cannot be read or used. */
  constructor(config: Config, parts: SettingsParts = {}) {
    const {
      targets = new DialTargets(),
      services = new CredentialServices(() => {}),
      readFile = readFileSync,
    } = parts;
    this.config = config;
    this.routes = new Routes(config.routes);
    this.origins = new Origins(config.routes);
    this.trustedProxies = new AddressBlocks(config.trustedProxies);
    this.access = new Map(config.routes.map((route) => [route.id, new AddressRules(route)]));
    this.trustedHeaders = trustedHeaders(config);
    this.affinityCookies = affinityCookieNames(config);
    this.identity = new IdentitySources(config);
    this.credentials = new Credentials(config, services, readFile);
    this.defaultTier = Object.entries(config.tiers).find(([, tier]) => tier.default)?.[0] ?? "default";
    this.#targets = targets;
    targets.configure(config.pools, readFile);
  }

  /** The tier of this name; the default one where a reload took it away. */
  tier(name: string): TierConfig | undefined {
    return this.config.tiers[name] ?? this.config.tiers[this.defaultTier];
  }

  /** Asked with a grant, which may have been made under an earlier or a later version. */
  target(pool: string, backend: string): DialTarget | undefined {
    return this.#targets.find(pool, backend);
  }
}
