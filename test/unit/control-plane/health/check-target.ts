// What a health check is given, made from what a configuration file says.
import { SecureContexts } from "../../../../src/backend-tls.ts";
import { loadConfig } from "../../../../src/config/load.ts";
import type { BackendConfig } from "../../../../src/config/schema.ts";
import type { HealthCheckConfig } from "../../../../src/config/schema-health.ts";
import type { CheckTarget } from "../../../../src/control-plane/health/open-socket.ts";

type Section = Readonly<Record<string, unknown>>;

interface Checked {
  readonly check: HealthCheckConfig | null;
  readonly config: BackendConfig;
}

/** A backend and its health check, as the file has them. */
export function checkedBackend(backend: Section, healthCheck: Section | string): Checked {
  const text = JSON.stringify({
    listeners: [":8080"],
    pools: { chat: { backends: [backend], healthCheck } },
  });
  // As where it is only checked: what it names may be gone by the time that it is used.
  const result = loadConfig({ text, file: "test.yaml", env: {}, purpose: "check" });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  const pool = result.config.pools["chat"];
  const [config] = pool?.backends ?? [];
  if (pool === undefined || config === undefined) throw new Error("no backend");
  return { check: pool.healthCheck, config };
}

interface TargetOptions {
  readonly url: string;
  readonly tls?: Section;
  readonly addresses?: readonly string[];
}

/** What one check is given. */
export function checkTarget(options: TargetOptions, healthCheck: Section | string): CheckTarget {
  const { url, tls = "off", addresses = null } = options;
  const { check, config } = checkedBackend({ url, tls }, healthCheck);
  if (check === null) throw new Error("no check");
  const secureContext = new SecureContexts().load([config]).get(config) ?? null;
  return { check, config, addresses, secureContext: config.target.secure ? secureContext : null };
}

/** Where nobody listens: the port of a URL, on another loopback address. */
export function deserted(url: string): string {
  return url.replace("127.0.0.1", "127.0.0.2");
}
