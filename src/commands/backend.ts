// `weir drain` and `weir activate`: what an operator sets of one backend, and the wait until it is empty.

import type { BackendName } from "./remote-command.ts";
import { didYouMean } from "../config/suggest.ts";
import { formatDuration } from "../config/units.ts";
import { ExitCode, FatalError } from "../errors.ts";
import type { AdminClient } from "./admin-client.ts";
import type { Output } from "./output.ts";
import { plain } from "./plain-text.ts";

/** As the API shows it. */
interface Backend {
  readonly state: string;
  readonly up: boolean;
  readonly ejected: boolean;
  readonly listed: boolean;
  readonly connections: number;
}

/** How long one question waits for the backend to be empty; then the progress is shown. */
const WAIT_STEP_MS = 2_000;

/** Returns the exit code. */
export async function activate(client: AdminClient, name: BackendName, { print }: Output): Promise<number> {
  const backend = await setState(client, name, "active");
  print(`${nameOf(name)} is active${obstacleOf(backend)}`);
  return ExitCode.ok;
}

/**
 * Returns the exit code: `timeout` where the time is over before the backend is empty.
 * @param waitMs null for no wait, Infinity for one without an end
 */
export async function drain(
  client: AdminClient,
  name: BackendName,
  waitMs: number | null,
  output: Output,
): Promise<number> {
  const { connections } = await setState(client, name, "draining");
  const result = `${nameOf(name)} gets no new work; ${countOf(connections)}`;
  if (waitMs !== null && connections > 0) {
    output.complain(result);
    return await untilEmpty(client, name, { waitMs, connections }, output);
  }
  output.print(result);
  return ExitCode.ok;
}

async function untilEmpty(
  client: AdminClient,
  name: BackendName,
  { waitMs, connections }: { readonly waitMs: number; readonly connections: number },
  { print, complain }: Output,
): Promise<number> {
  const deadlineMs = performance.now() + waitMs;
  let told = connections;
  for (;;) {
    const leftMs = Math.max(0, Math.ceil(deadlineMs - performance.now()));
    const backend = await askFor(client, name, Math.min(WAIT_STEP_MS, leftMs));
    if (backend === null || backend.connections === 0) {
      print(`${nameOf(name)} is empty${backend === null ? ", and gone" : ""}`);
      return ExitCode.ok;
    }
    if (backend.state === "active") {
      throw new FatalError(
        `${nameOf(name)} was activated meanwhile; ${countOf(backend.connections)}`,
        ExitCode.usage,
      );
    }
    if (backend.connections !== told) complain(countOf(backend.connections));
    told = backend.connections;
    if (performance.now() >= deadlineMs) {
      complain(`the ${formatDuration(waitMs)} are over; ${nameOf(name)} goes on draining`);
      return ExitCode.timeout;
    }
  }
}

async function setState(client: AdminClient, name: BackendName, state: string): Promise<Backend> {
  const { status, body } = await client.ask("PUT", pathOf(name), { body: { state }, expected: [404] });
  if (status === 404) throw await unknownBackend(client, name);
  return body as Backend;
}

/** Null where a reload has taken it away. */
async function askFor(client: AdminClient, name: BackendName, waitMs: number): Promise<Backend | null> {
  const { status, body } = await client.ask("GET", `${pathOf(name)}?wait=${waitMs}ms`, { expected: [404] });
  return status === 404 ? null : (body as Backend);
}

/** Says which there are. */
async function unknownBackend(client: AdminClient, { pool, id }: BackendName): Promise<FatalError> {
  const { body } = await client.ask("GET", "/api/pools");
  const { pools } = body as { pools: readonly { name: string; backends: readonly { id: string }[] }[] };
  const known = pools.find(({ name }) => name === pool);
  if (known === undefined) {
    const names = pools.map(({ name }) => name);
    return new FatalError(
      plain(`there is no pool ${pool}${didYouMean(pool, names) || `; there is ${names.join(", ")}`}`),
      ExitCode.usage,
    );
  }
  const ids = known.backends.map((backend) => backend.id);
  const others = ids.length > MAX_SHOWN ? `${ids.slice(0, MAX_SHOWN).join(", ")} …` : ids.join(", ");
  return new FatalError(
    plain(`pool ${pool} has no backend ${id}${didYouMean(id, ids) || `; it has ${others || "none"}`}`),
    ExitCode.usage,
  );
}

/** Backends that a message lists at the most. */
const MAX_SHOWN = 10;

function pathOf({ pool, id }: BackendName): string {
  return `/api/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(id)}`;
}

function nameOf({ pool, id }: BackendName): string {
  return plain(`${pool}/${id}`);
}

/** What still keeps work from it. */
function obstacleOf({ listed, up, ejected }: Backend): string {
  if (!listed) return ", but the configuration does not name it any more";
  if (!up) return ", but its health checks fail";
  return ejected ? ", but it is ejected for its failures at the moment" : "";
}

function countOf(connections: number): string {
  if (connections === 0) return "it is empty";
  return connections === 1 ? "1 connection is left on it" : `${connections} connections are left on it`;
}
