// The certificates and keys that a configuration names: threads read them anew at each reload, so a change
// of one is a reason for a reload although no key of the configuration differs.

import type { Config } from "./schema.ts";

/** Absolute paths, each once. */
export function tlsFilesOf({ listeners, identity, pools }: Config): string[] {
  const ofListeners = listeners.flatMap(({ tls }) =>
    tls === null ? [] : [...tls.certificates.flatMap(({ cert, key }) => [cert, key]), tls.clientCa],
  );
  const ofBackends = Object.values(pools).flatMap(({ backends }) =>
    backends.flatMap(({ tls }) => (tls === null ? [] : [tls.ca, tls.cert, tls.key])),
  );
  const all = [...ofListeners, identity.jwt?.publicKey ?? null, ...ofBackends];
  return [...new Set(all.filter((path) => path !== null))];
}
