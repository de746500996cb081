// The certificates and keys that a configuration names. They are read once for all threads, so that these
// agree, and so that a version which is in effect can be gone back to whatever has become of the files.

import { readFileSync } from "node:fs";
import type { Config } from "./schema.ts";

/** By absolute path: what a file held, or why it could not be read. Can be sent to threads. */
export type TlsFiles = ReadonlyMap<string, Uint8Array | { readonly failure: string }>;

/** The bytes of a file by its absolute path; throws where it cannot be read. */
export type ReadFile = (path: string) => Buffer;

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

/** Never throws: whoever needs a file hears then that it could not be read. */
export function readTlsFiles(config: Config): TlsFiles {
  const files = new Map<string, Uint8Array | { readonly failure: string }>();
  for (const path of tlsFilesOf(config)) {
    try {
      files.set(path, readFileSync(path));
    } catch (error) {
      files.set(path, { failure: error instanceof Error ? error.message : String(error) });
    }
  }
  return files;
}

/** Reads from what was read before. */
export function readerOf(files: TlsFiles): ReadFile {
  return (path) => {
    const content = files.get(path) ?? { failure: `${path} was not read` };
    if ("failure" in content) throw new Error(content.failure);
    return Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  };
}
