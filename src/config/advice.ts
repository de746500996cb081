// Warnings: settings that are valid but do not do what their author must have meant.

import type { Finding } from "./problems.ts";
import type { RouteConfig } from "./schema-routes.ts";
import type { Config } from "./schema.ts";

/** What is worth a warning in a configuration without errors. */
export function adviseOn(config: Config): Finding[] {
  return [...adviseOnShutdown(config), ...adviseOnRoutes(config), ...adviseOnPools(config)];
}

function adviseOnShutdown({ shutdown, routes }: Config): Finding[] {
  const findings: Finding[] = [];
  const { readyDelay, grace, spread, timeout } = shutdown;
  const hasNotice = routes.some(({ notices }) => notices !== null && notices.draining !== null);
  if (grace > 0 && !hasNotice) {
    const message =
      "no route has notices.draining, so clients are not told to leave and all of them wait this long";
    findings.push({ path: ["shutdown", "grace"], message });
  }
  if (readyDelay + grace + spread > timeout) {
    const message = `readyDelay, grace and spread together (${readyDelay + grace + spread} ms) do not fit into it`;
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
  return match.host === null && (match.path === null || match.path === "/*");
}

function adviseOnPools({ pools, routes }: Config): Finding[] {
  const used = new Set(routes.map(({ pool }) => pool));
  return Object.keys(pools)
    .filter((name) => !used.has(name))
    .map((name) => ({ path: ["pools", name], at: "key", message: "no route leads to this pool" }));
}
