// How many connections the process's open-file limit leaves room for.

import type { SocketBudget } from "../shared-memory/worker-setup.ts";
import type { Hints } from "./hints.ts";

/** Descriptors kept for everything but proxied connections: listeners, log, admin, health checks. */
const RESERVED_FILES = 256;

/** Where the system does not tell its limit. */
const ASSUMED_OPEN_FILES = 1_024;

/** `limits.maxConnections` with `auto` resolved: each connection takes two descriptors. */
export function resolveMaxConnections(configured: number | "auto"): number {
  if (configured !== "auto") return configured;
  return Math.max(1, Math.floor((openFileLimit() - RESERVED_FILES) / 2));
}

/** Of the reserved files: enough for all that is no socket of a client or to a backend. */
const OTHER_FILES = RESERVED_FILES / 2;

/** Clients that ask for nothing and always have their time: of all threads, but one of each at least. */
const KEPT_CLIENTS = 32;

/** For so many threads. With `auto`, connections alone never use it up. */
export function socketBudget(threads: number): SocketBudget {
  const limit = openFileLimit();
  return {
    counts: new SharedArrayBuffer(threads * Int32Array.BYTES_PER_ELEMENT),
    room: Math.max(limit - OTHER_FILES, Math.floor(limit / 2)),
    kept: Math.ceil(KEPT_CLIENTS / threads),
  };
}

/** Fewer than so many connections are what nobody wants from a proxy. */
const FEW_CONNECTIONS = 1_000;

/** A limit that is enough for 32 000 connections. */
const AMPLE_OPEN_FILES = 65_536;

/** Where the system allows fewer files than the connections need, or just few connections. */
export function hintAtOpenFiles(configured: number | "auto", hints: Pick<Hints, "give">): void {
  const limit = openFileLimit();
  const connections = resolveMaxConnections(configured);
  const needed = 2 * connections + RESERVED_FILES;
  const isLow = configured === "auto" ? connections < FEW_CONNECTIONS : needed > limit;
  if (!isLow) return;
  const files = configured === "auto" ? AMPLE_OPEN_FILES : needed;
  const message =
    configured === "auto"
      ? `the open-file limit of ${limit} allows ${connections} connections only`
      : `the open-file limit of ${limit} is less than the ${needed} that limits.maxConnections needs`;
  hints.give("open files", message, {
    fix: `ulimit -n ${files}, LimitNOFILE=${files} in the systemd unit, or --ulimit nofile=${files} of Docker`,
  });
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
