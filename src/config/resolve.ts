// From the validated file to what Weir runs on: defaults that depend on other keys, absolute paths,
// ids of routes and backends. Nothing fails here; checks.ts has looked at what could.

import { resolve as resolvePath } from "node:path";
import { defaultBackendId } from "./addresses.ts";
import type { BackendsLists } from "./backends-file.ts";
import type { BackendConfig, ParsedBackend } from "./schema-backends.ts";
import type { IdentityConfig, IdentitySource, ParsedIdentity } from "./schema-identity.ts";
import type { TierConfig } from "./schema-limits.ts";
import type { BindAddress, ListenerConfig, ParsedListener } from "./schema-listeners.ts";
import type { ParsedPool, PoolConfig } from "./schema-pools.ts";
import type { ParsedRoute, RouteConfig } from "./schema-routes.ts";
import type { Config, ParsedConfig } from "./schema.ts";

/** The tier of everyone where the file names none. */
const DEFAULT_TIER: TierConfig = {
  maxConnections: null,
  maxConnectionsPerUser: null,
  priority: "normal",
  messages: null,
  bytes: null,
  userFull: "reject",
  default: true,
};

/**
 * @param directory what relative paths are relative to
 * @param lists backends that stand in files of their own, with paths relative to these
 */
export function resolveConfig(parsed: ParsedConfig, directory: string, lists: BackendsLists): Config {
  const absolute = relativeTo(directory);
  const identity = resolveIdentity(parsed.identity, absolute);
  const { state, admin, pidFile } = parsed;
  return {
    ...parsed,
    listeners: parsed.listeners.map((listener) => resolveListener(listener, absolute)),
    identity,
    tiers: parsed.tiers ?? { default: DEFAULT_TIER },
    routes: resolveRoutes(parsed, identity),
    pools: Object.fromEntries(
      Object.entries(parsed.pools).map(([name, pool]) => [
        name,
        resolvePool(pool, absolute, lists.get(name) ?? { start: pool.backends.length, directory }),
      ]),
    ),
    state: state === null ? null : { file: absolute(state.file) },
    pidFile: absolute(pidFile),
    admin: admin === null ? null : { ...admin, bind: resolveBind(admin.bind, absolute) },
  };
}

type MakeAbsolute = <Path extends string | null>(path: Path) => Path;

function relativeTo(directory: string): MakeAbsolute {
  return (path) => (path === null ? null : resolvePath(directory, path)) as typeof path;
}

function resolveBind(bind: BindAddress, absolute: MakeAbsolute): BindAddress {
  return bind.kind === "tcp" ? bind : { ...bind, path: absolute(bind.path) };
}

function resolveListener(listener: ParsedListener, absolute: MakeAbsolute): ListenerConfig {
  const { tls } = listener;
  const bind = resolveBind(listener.bind, absolute);
  if (tls === null) return { ...listener, bind, tls };
  return {
    ...listener,
    bind,
    tls: {
      ...tls,
      certificates: tls.certificates.map(({ cert, key }) => ({ cert: absolute(cert), key: absolute(key) })),
      clientCa: absolute(tls.clientCa),
      clientCert: tls.clientCert ?? (tls.clientCa === null ? "off" : "required"),
    },
  };
}

function resolveIdentity(identity: ParsedIdentity, absolute: MakeAbsolute): IdentityConfig {
  const { jwt } = identity;
  const ip: IdentitySource = { kind: "ip", name: "" };
  const fallback: IdentitySource[] = jwt === null ? [ip] : [{ kind: "jwt", name: "sub" }, ip];
  return {
    ...identity,
    user: identity.user ?? fallback,
    jwt: jwt && {
      ...jwt,
      secret: jwt.secret ?? null,
      publicKey: absolute(jwt.publicKey ?? null),
      jwksUrl: jwt.jwksUrl ?? null,
      algorithms: jwt.algorithms ?? null,
      issuer: jwt.issuer ?? null,
      audience: jwt.audience ?? null,
    },
  };
}

function resolveRoutes({ routes, pools, limits }: ParsedConfig, identity: IdentityConfig): RouteConfig[] {
  const hasCredentials = identity.jwt !== null || identity.forwardAuth !== null;
  const uses = new Map<string, number>();

  function resolveRoute(route: ParsedRoute): RouteConfig {
    const { host = null, path = null } = route.match;
    const name = `${host ?? "*"}${path ?? "/*"}`;
    const use = (uses.get(name) ?? 0) + 1;
    uses.set(name, use);
    const { messages } = route;
    return {
      ...route,
      id: use === 1 ? name : `${name}#${use}`,
      match: { host, path },
      origins: route.origins ?? null,
      auth: route.auth ?? (hasCredentials ? "required" : "off"),
      messages: messages && { ...messages, onExceed: messages.onExceed ?? limits.onExceed },
    };
  }
  return (routes ?? defaultRoutes(Object.keys(pools))).map((route) => resolveRoute(route));
}

/** Everything to the only pool; checks.ts asks for routes where there are several. */
function defaultRoutes(pools: readonly string[]): ParsedRoute[] {
  return pools.slice(0, 1).map((pool) => ({
    match: {},
    pool,
    messages: null,
    notices: null,
    requests: null,
    http: "proxy",
    hostHeader: "preserve",
    stripPrefix: null,
    headers: { set: {}, remove: [] },
    closeCodes: {},
    allow: [],
    deny: [],
  }));
}

function resolvePool(
  pool: ParsedPool,
  absolute: MakeAbsolute,
  list: { readonly start: number; readonly directory: string },
): PoolConfig {
  const absoluteInList = relativeTo(list.directory);
  return {
    ...pool,
    backendsFile: absolute(pool.backendsFile),
    backends: pool.backends.map((backend, index) =>
      resolveBackend(backend, index < list.start ? absolute : absoluteInList),
    ),
  };
}

function resolveBackend(backend: ParsedBackend, absolute: MakeAbsolute): BackendConfig {
  const { url, target: written } = backend.url;
  const target = { ...written, socketPath: absolute(written.socketPath) };
  const { ca = null, cert = null, key = null, serverName = null, verify = true } = backend.tls ?? {};
  const tls = { ca: absolute(ca), cert: absolute(cert), key: absolute(key), serverName, verify };
  return {
    ...backend,
    url,
    target,
    id: backend.id ?? defaultBackendId(written),
    tls: target.secure ? tls : null,
  };
}
