// How many connections the process's open-file limit leaves room for.

/** Descriptors kept for everything but proxied connections: listeners, log, admin, health checks. */
const RESERVED_FILES = 256;

/** Where the system does not tell its limit. */
const ASSUMED_OPEN_FILES = 1_024;

/** `limits.maxConnections` with `auto` resolved: each connection takes two descriptors. */
export function resolveMaxConnections(configured: number | "auto"): number {
  if (configured !== "auto") return configured;
  return Math.max(1, Math.floor((openFileLimit() - RESERVED_FILES) / 2));
}

function openFileLimit(): number {
  const limit = readReport().userLimits?.open_files?.soft;
  if (limit === "unlimited") return Number.MAX_SAFE_INTEGER;
  return typeof limit === "number" ? limit : ASSUMED_OPEN_FILES;
}

interface Report {
  readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } };
}

/** Node has no getrlimit; its diagnostic report does. Without the network part it takes a few milliseconds. */
function readReport(): Report {
  const source = process.report as typeof process.report & { excludeNetwork: boolean };
  const { excludeNetwork } = source;
  source.excludeNetwork = true;
  try {
    return source.getReport();
  } finally {
    source.excludeNetwork = excludeNetwork;
  }
}
