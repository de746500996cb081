// Warnings: settings that are valid but do not do what their author must have meant.

import { type Finding, formatPath } from "./problems.ts";
import type { IdentitySource } from "./schema-identity.ts";
import { ALL_TIERS } from "./schema-limits.ts";
import type { RouteConfig } from "./schema-routes.ts";
import type { Config } from "./schema.ts";

/** The size of the shortest hash of the HS algorithms. */
const MIN_SECRET_BYTES = 32;

/** Guesses are late by half a second each, so this takes years where the characters are chosen at random. */
const MIN_TOKEN_LENGTH = 8;

/** What is worth a warning in a configuration without errors. */
export function adviseOn(config: Config): Finding[] {
  return [
    ...adviseOnIdentity(config),
    ...adviseOnTiers(config),
    ...adviseOnAdmin(config),
    ...adviseOnShutdown(config),
    ...adviseOnRoutes(config),
    ...adviseOnPools(config),
  ];
}

/** Limits and bans hold only those who cannot choose their own name. */
function adviseOnIdentity(config: Config): Finding[] {
  const { user, tier } = config.identity;
  const findings: Finding[] = [];
  const limits = limitsOnUsers(config);
  if (limits.length > 0) {
    const message = `a client can choose it anew, and with it escape ${limits.join(", ")}`;
    findings.push(...forgeable("user", user, message));
  }
  const tiers = Object.keys(config.tiers);
  if (tiers.length > 1) {
    const message = `a client can choose its tier by it: any of ${tiers.join(", ")}`;
    findings.push(...forgeable("tier", tier, message));
  }
  return [...findings, ...adviseOnSecret(config), ...adviseOnCookies(config)];
}

function adviseOnTiers({ tiers }: Config): Finding[] {
  if (tiers[ALL_TIERS] === undefined) return [];
  const message = "is what the metrics call all tiers together: they do not tell this one's own cap";
  return [{ path: ["tiers", ALL_TIERS], at: "key", message }];
}

function adviseOnAdmin({ admin }: Config): Finding[] {
  const token = admin?.token ?? null;
  if (token === null || token.length >= MIN_TOKEN_LENGTH) return [];
  const message = `has fewer than ${MIN_TOKEN_LENGTH} characters: it can be guessed`;
  return [{ path: ["admin", "token"], message }];
}

/** A browser sends the cookie with whatever page opens the WebSocket. */
function adviseOnCookies({ identity, routes }: Config): Finding[] {
  const open = routes.findIndex(({ origins, auth }) => origins === null && auth !== "off");
  if (open === -1) return [];
  const message = `any page can open WebSockets in the name of its visitors: routes[${open}] has no origins`;
  return (identity.jwt?.from ?? []).flatMap(({ kind }, i) =>
    kind === "cookie" ? [{ path: ["identity", "jwt", "from", i, "cookie"], message }] : [],
  );
}

/** RFC 7518 §3.2: whoever has one token can try secrets on it without anyone noticing. */
function adviseOnSecret({ identity }: Config): Finding[] {
  const { secret = null } = identity.jwt ?? {};
  if (secret === null || Buffer.byteLength(secret) >= MIN_SECRET_BYTES) return [];
  const message = `is shorter than ${MIN_SECRET_BYTES} bytes: it can be guessed from any token`;
  return [{ path: ["identity", "jwt", "secret"], message }];
}

function forgeable(key: "user" | "tier", sources: readonly IdentitySource[], message: string): Finding[] {
  return sources.flatMap(({ kind }, i) =>
    kind === "cookie" || kind === "query" ? [{ path: ["identity", key, i, kind], message }] : [],
  );
}

/** The keys of what hangs on the user. */
function limitsOnUsers({ tiers, routes, limits }: Config): string[] {
  const keys: string[] = [];
  for (const [name, tier] of Object.entries(tiers)) {
    for (const key of ["maxConnectionsPerUser", "messages", "bytes"] as const) {
      if (tier[key] !== null) keys.push(formatPath(["tiers", name, key]));
    }
  }
  for (const [i, route] of routes.entries()) {
    for (const key of ["messages", "requests"] as const) {
      if (route[key] !== null) keys.push(formatPath(["routes", i, key]));
    }
  }
  if (limits.abuse !== null) keys.push("limits.abuse");
  return keys;
}

function adviseOnShutdown({ shutdown, timeouts, routes }: Config): Finding[] {
  const findings: Finding[] = [];
  const { readyDelay, grace, spread, timeout } = shutdown;
  const hasNotice = routes.some(({ notices }) => notices !== null && notices.draining !== null);
  if (grace > 0 && !hasNotice) {
    const message =
      "no route has notices.draining, so clients are not told to leave and all of them wait this long";
    findings.push({ path: ["shutdown", "grace"], message });
  }
  const steps = readyDelay + grace + spread + timeouts.close;
  if (steps > timeout) {
    const message = `readyDelay, grace, spread and timeouts.close together (${steps} ms) do not fit into it`;
    findings.push({ path: ["shutdown", "timeout"], message });
  }
  return findings;
}

function adviseOnRoutes({ routes }: Config): Finding[] {
  const catchAll = routes.findIndex(takesEverything);
  if (catchAll < 0 || catchAll === routes.length - 1) return [];
  const message = `is never reached, nor is what follows: routes[${catchAll}] takes everything`;
  return [{ path: ["routes", catchAll + 1], message }];
}

function takesEverything({ match }: RouteConfig): boolean {
  return match.host === null && (match.path === null || /^\/?\*$/.test(match.path));
}

function adviseOnPools({ pools, routes }: Config): Finding[] {
  const used = new Set(routes.map(({ pool }) => pool));
  const findings: Finding[] = [];
  for (const [name, { rebalance, balance }] of Object.entries(pools)) {
    if (!used.has(name)) {
      findings.push({ path: ["pools", name], at: "key", message: "no route leads to this pool" });
    }
    if (rebalance !== null && balance === "consistent-hash") {
      const message =
        "does nothing with balance: consistent-hash, which brings clients back to where they were";
      findings.push({ path: ["pools", name, "rebalance"], message });
    }
  }
  return findings;
}
