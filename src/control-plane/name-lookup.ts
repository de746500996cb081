// What a name stands for at this moment, as this machine sees it.

import type { RecordWithTtl } from "node:dns";
import dns from "node:dns/promises";

export interface NameLookup {
  /** IP addresses, in the order to try them. Rejects where there are none. */
  addressesOf(name: string): Promise<readonly string[]>;
  /** Milliseconds for which DNS says that these addresses hold; null where they are not from DNS. */
  ttlOf(name: string, addresses: readonly string[], signal: AbortSignal): Promise<number | null>;
}

const QUERY_TIMEOUT_MS = 2_000;

/**
 * The system's resolver knows more than DNS (its hosts file, container names, search domains), but no TTL:
 * that is DNS's own, where it gives the same addresses for the name as it stands.
 *
 * @param servers to ask for TTLs instead of the system's
 */
export function createLookup(servers: readonly string[] | null = null): NameLookup {
  return {
    async addressesOf(name) {
      const found = await dns.lookup(name, { all: true });
      return [...new Set(found.map(({ address }) => address))];
    },

    async ttlOf(name, addresses, signal) {
      // `localhost` and the like are completed by the system, and not for a name server to know.
      if (!name.replace(/\.$/, "").includes(".")) return null;
      const resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT_MS, tries: 1 });
      if (servers !== null) resolver.setServers(servers);
      const cancel = (): void => resolver.cancel();
      signal.addEventListener("abort", cancel);
      try {
        const answers = await Promise.allSettled([
          resolver.resolve4(name, { ttl: true }),
          resolver.resolve6(name, { ttl: true }),
        ]);
        return commonTtl(
          addresses,
          answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : [])),
        );
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
  };
}

/** Milliseconds for which all of the addresses hold; null where the records lack one of them. */
function commonTtl(addresses: readonly string[], records: readonly RecordWithTtl[]): number | null {
  const ttls = addresses.map((one) => records.find(({ address }) => address === one)?.ttl);
  const known = ttls.filter((ttl) => ttl !== undefined);
  return known.length === 0 || known.length < ttls.length ? null : Math.min(...known) * 1_000;
}
