// The families about pools and their backends. Samples of a backend that is gone go with it.

import type { Admission } from "../../control-plane/admission.ts";
import type { Backend } from "../../control-plane/backend.ts";
import { labelsText, type LiveFamily, type Sample } from "../exposition.ts";

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

type Pools = Pick<Admission, "pools">;

/** What `weir_backend_state` has a sample of 1 for; the first that applies. */
function stateOf(backend: Backend): BackendState {
  if (backend.obstacle !== null) return backend.obstacle;
  return backend.slowSinceMs === null ? "active" : "slow_start";
}

export function backendFamilies(admission: Pools): LiveFamily[] {
  return [
    {
      name: "weir_backend_connections",
      help: "Connections that hold a slot of the backend: being dialled or open.",
      type: "gauge",
      samples: () => perBackend(admission, ({ connections }) => connections),
    },
    {
      name: "weir_backend_up",
      help: "1 while the backend passes its checks, or has none.",
      type: "gauge",
      samples: () => perBackend(admission, ({ isUp }) => Number(isUp)),
    },
    {
      name: "weir_backend_state",
      help: "1 for the state that the backend is in, 0 for the others.",
      type: "gauge",
      samples: () => states(admission),
    },
    {
      name: "weir_backend_failures_total",
      help: "Failures that real traffic met: connect, timeout, malformed, status (502 to 504 to an upgrade), lost.",
      type: "counter",
      samples: () => failures(admission),
    },
    {
      name: "weir_affinity_total",
      help: "Connections whose client came back to its backend (kept), could not (moved), or was not known (new).",
      type: "counter",
      samples: () => affinityResults(admission),
    },
    {
      name: "weir_affinity_entries",
      help: "Users whose backend is remembered.",
      type: "gauge",
      samples: () => [["", [...admission.pools].reduce((sum, { affinity }) => sum + affinity.size, 0)]],
    },
  ];
}

function* perBackend(admission: Pools, valueOf: (backend: Backend) => number): Iterable<Sample> {
  for (const [labels, backend] of backendsOf(admission)) yield [labels, valueOf(backend)];
}

function* states(admission: Pools): Iterable<Sample> {
  for (const [labels, backend] of backendsOf(admission)) {
    const current = stateOf(backend);
    for (const state of BACKEND_STATES) yield [`${labels},state="${state}"`, Number(state === current)];
  }
}

function* failures(admission: Pools): Iterable<Sample> {
  for (const [labels, backend] of backendsOf(admission)) {
    for (const [kind, count] of Object.entries(backend.failures)) yield [`${labels},kind="${kind}"`, count];
  }
}

function* affinityResults({ pools }: Pools): Iterable<Sample> {
  for (const { name, affinityResults: results } of pools) {
    const labels = labelsText({ pool: name });
    for (const [result, count] of Object.entries(results)) yield [`${labels},result="${result}"`, count];
  }
}

function* backendsOf({ pools }: Pools): Iterable<readonly [labels: string, backend: Backend]> {
  for (const { name, backends } of pools) {
    for (const backend of backends) yield [labelsText({ pool: name, backend: backend.id }), backend];
  }
}
