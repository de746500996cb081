// The changes of backends' states that Weir has logged: each is to be there once.
import type { StartedWeir } from "./start-weir.ts";

const STATE_CHANGES: ReadonlySet<string> = new Set([
  "backend down",
  "backend up",
  "backend ejected",
  "backend no longer ejected",
  "pool has no backend left that may be given work",
  "pool has a backend again",
]);

/** Of all pools, in order; those of a backend begin with its id. */
export function stateChanges({ log }: StartedWeir): string[] {
  const changes = log.entries.filter(({ message }) => STATE_CHANGES.has(message));
  return changes.map(({ message, fields }) =>
    "backend" in fields ? `${String(fields["backend"])}: ${message}` : message,
  );
}

/** Why the backend came to this, once it has. */
export async function reasonOf({ log }: StartedWeir, change: string, backend: string): Promise<string> {
  const what = `${backend}: ${change}`;
  const { fields } = await log.entry(
    what,
    ({ message, fields }) => message === change && fields["backend"] === backend,
  );
  return String(fields["reason"]);
}
