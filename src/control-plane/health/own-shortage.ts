// Errors of a check that say nothing about the backend: this machine has run out of something.

const SHORTAGES = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAI_MEMORY"]);

/**
 * Of a backend that could be reached before: no local port left, name servers away. Of one that never
 * was, how things are: IPv6 on a machine without it, a name that nobody knows.
 */
const SHORTAGES_OF_REACHED = new Set(["EADDRNOTAVAIL", "EAI_AGAIN"]);

export function isOwnShortage(error: unknown, wasReached: boolean): boolean {
  // Of several addresses that were tried.
  if (error instanceof AggregateError) return error.errors.every((one) => isOwnShortage(one, wasReached));
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return SHORTAGES.has(code) || (wasReached && SHORTAGES_OF_REACHED.has(code));
}
