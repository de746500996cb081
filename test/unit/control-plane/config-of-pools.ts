// A resolved configuration with given pools, for tests that need no more of it.
import { parseConfig } from "../../../src/config/load.ts";
import type { BackendSpec } from "../../../src/control-plane/backend.ts";
import type { Config } from "../../../src/config/schema.ts";

export interface BackendInput {
  readonly id: string;
  readonly weight?: number;
  readonly capacity?: number;
}

export interface PoolInput {
  readonly backends: readonly BackendInput[];
  readonly retries?: number;
  readonly affinity?: "off" | { readonly by: "user" | "cookie" | "none"; readonly ttl?: string };
}

/** @param more further top-level keys */
export function configOfPools(pools: Readonly<Record<string, PoolInput>>, more: object = {}): Config {
  const entries = Object.entries(pools).map(([name, { backends, retries = 2, affinity = "off" }]) => [
    name,
    {
      retries,
      affinity,
      backends: backends.map((backend) => ({ url: `ws://${backend.id}.test:80`, ...backend })),
    },
  ]);
  const routes = Object.keys(pools).map((pool) => ({ match: { path: `/${pool}/*` }, pool }));
  const result = parseConfig({ listeners: [":8080"], pools: Object.fromEntries(entries), routes, ...more });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

/** The backends of a pool as they are without any name to resolve. */
export function specsOf({ pools }: Config): (pool: string) => BackendSpec[] {
  return (pool) =>
    (pools[pool]?.backends ?? []).map((backend) => ({ id: backend.id, config: backend, addresses: null }));
}
