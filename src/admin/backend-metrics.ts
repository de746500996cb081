// The Prometheus families about pools and their backends, read when they are scraped. Samples of a backend
// that is gone go with it.

import prometheus from "prom-client";
import type { Admission } from "../control-plane/admission.ts";
import type { Backend } from "../control-plane/backend.ts";

type Labels = Record<"pool" | "backend", string>;

const BACKEND_STATES = [
  "active",
  "slow_start",
  "draining",
  "down",
  "unhealthy",
  "ejected",
  "removed",
] as const;

type BackendState = (typeof BACKEND_STATES)[number];

/** What `weir_backend_state` has a sample of 1 for; the first that applies. */
function stateOf(backend: Backend): BackendState {
  if (!backend.isListed) return "removed";
  if (backend.operatorState !== "active") return backend.operatorState;
  if (!backend.isUp) return "unhealthy";
  if (backend.isEjected) return "ejected";
  return backend.slowSinceMs === null ? "active" : "slow_start";
}

export function observeBackends(registry: prometheus.Registry, admission: Admission): void {
  const registers = [registry];
  const labelNames = ["pool", "backend"];

  function gauge(name: string, help: string, valueOf: (backend: Backend) => number): void {
    const family = new prometheus.Gauge({
      name,
      help,
      labelNames,
      registers,
      collect: () => {
        family.reset();
        for (const { labels, backend } of backendsOf(admission)) family.set(labels, valueOf(backend));
      },
    });
  }
  gauge(
    "weir_backend_connections",
    "Connections that hold a slot of the backend: being dialled or open.",
    ({ connections }) => connections,
  );
  gauge("weir_backend_up", "1 while the backend passes its checks, or has none.", ({ isUp }) => Number(isUp));
  observeStates(registers, admission);
  observeFailures(registers, admission);
  observeAffinity(registers, admission);
}

function observeStates(registers: prometheus.Registry[], admission: Admission): void {
  const states = new prometheus.Gauge({
    name: "weir_backend_state",
    help: "1 for the state that the backend is in, 0 for the others.",
    labelNames: ["pool", "backend", "state"],
    registers,
    collect: () => {
      states.reset();
      for (const { labels, backend } of backendsOf(admission)) {
        const current = stateOf(backend);
        for (const state of BACKEND_STATES) states.set({ ...labels, state }, Number(state === current));
      }
    },
  });
}

function observeFailures(registers: prometheus.Registry[], admission: Admission): void {
  const failures = new prometheus.Counter({
    name: "weir_backend_failures_total",
    help: "Failures that real traffic met: connect, timeout, malformed, status (502 to 504 to an upgrade), lost.",
    labelNames: ["pool", "backend", "kind"],
    registers,
    collect: () => {
      failures.reset();
      for (const { labels, backend } of backendsOf(admission)) {
        for (const [kind, count] of Object.entries(backend.failures))
          failures.inc({ ...labels, kind }, count);
      }
    },
  });
}

function observeAffinity(registers: prometheus.Registry[], admission: Admission): void {
  const results = new prometheus.Counter({
    name: "weir_affinity_total",
    help: "Connections whose client came back to its backend (kept), could not (moved), or was not known (new).",
    labelNames: ["pool", "result"],
    registers,
    collect: () => {
      results.reset();
      for (const pool of admission.pools) {
        for (const [result, count] of Object.entries(pool.affinityResults)) {
          results.inc({ pool: pool.name, result }, count);
        }
      }
    },
  });
  const entries: prometheus.Gauge = new prometheus.Gauge({
    name: "weir_affinity_entries",
    help: "Users whose backend is remembered.",
    registers,
    collect: () => entries.set([...admission.pools].reduce((sum, { affinity }) => sum + affinity.size, 0)),
  });
}

function* backendsOf(admission: Admission): Iterable<{ labels: Labels; backend: Backend }> {
  for (const pool of admission.pools) {
    for (const backend of pool.backends) {
      yield { labels: { pool: pool.name, backend: backend.id }, backend };
    }
  }
}
