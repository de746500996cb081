// Keys that are validated and accepted although their feature is not built yet. Whoever builds one takes
// its keys out of the list; nobody who sets one is left to believe that it works.

import { isDeepStrictEqual } from "node:util";
import type { Finding, KeyPath } from "./problems.ts";
import { entriesOf, field, itemsOf } from "./raw.ts";
import { resolveConfig } from "./resolve.ts";
import { type Config, configSchema } from "./schema.ts";

/** `*` stands for a name, `[]` for an item of a list; everything below a key is meant as well. */
export const NOT_IN_EFFECT = [
  "listeners[].tls",
  "listeners[].proxyProtocol",
  "listeners[].healthPath",
  "listeners[].allow",
  "listeners[].deny",
  "identity.jwt",
  "identity.forwardAuth",
  "identity.user[].jwt",
  "identity.user[].certificate",
  "identity.tier[].jwt",
  "limits.perAddress",
  "limits.overload",
  "routes[].origins",
  "routes[].auth",
  "routes[].notices.draining",
  "routes[].requests",
  "routes[].allow",
  "routes[].deny",
  "pools.*.balance",
  "pools.*.affinity.by",
  "pools.*.affinity.ttl",
  "pools.*.healthCheck",
  "pools.*.onUnhealthy",
  "pools.*.outlier",
  "pools.*.queue",
  "pools.*.slowStart",
  "pools.*.warmConnections",
  "pools.*.onRemove",
  "pools.*.rebalance",
  "pools.*.sourceAddresses",
  "pools.*.backendsFile",
  "pools.*.backends[].proxyProtocol",
  "pools.*.backends[].resolve",
  "timeouts.idle",
  "timeouts.ping",
  "timeouts.slowConsumer",
  "timeouts.maxConnectionAge",
  "shutdown.readyDelay",
  "shutdown.grace",
  "shutdown.spread",
  "reload",
  "state",
  "pidFile",
  "admin.anonymous",
  "alerts",
] as const;

/** A warning for each such key that the file sets to something other than off or its default. */
export function findNotInEffect(raw: unknown, config: Config): Finding[] {
  const defaults = defaultConfig();
  return NOT_IN_EFFECT.flatMap((pattern) => {
    const segments = pattern.split(/\.|(?=\[\])/);
    const byDefault = valueAt(
      defaults,
      segments.map((segment) => (segment === "[]" ? 0 : segment)),
    );
    return (
      matchesOf(raw, segments)
        // A key that its resolved form does not have, such as a kind of source, is there because it was set.
        .filter((path) => isOtherThan(byDefault, valueAt(config, path) ?? valueAt(raw, path)))
        .map((path): Finding => ({ path, at: "key", message: "not in effect yet" }))
    );
  });
}

function isOtherThan(byDefault: unknown, value: unknown): boolean {
  const isOff = value === null || value === false || value === "none" || value === "off";
  return !isOff && !isDeepStrictEqual(value, byDefault);
}

/** The paths that are there in the file. */
function matchesOf(raw: unknown, segments: readonly string[]): (string | number)[][] {
  const [segment, ...rest] = segments;
  if (segment === undefined) return raw === undefined ? [] : [[]];
  const children: [string | number, unknown][] =
    segment === "[]"
      ? itemsOf(raw).map((item, index) => [index, item])
      : segment === "*"
        ? entriesOf(raw)
        : [[segment, field(raw, segment)]];
  return children.flatMap(([key, child]) => matchesOf(child, rest).map((path) => [key].concat(path)));
}

function valueAt(value: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof key === "number" ? itemsOf(at)[key] : field(at, key)),
    value,
  );
}

/** All defaults, under the pool name `*`. */
function defaultConfig(): Config {
  const smallest = { listeners: [":0"], pools: { default: { backends: ["ws://localhost"] } } };
  const config = resolveConfig(configSchema.parse(smallest), "/");
  return { ...config, pools: Object.fromEntries(Object.values(config.pools).map((pool) => ["*", pool])) };
}
