// TLS towards backends, for both planes: contexts made of the files that the configuration names, and
// what `tls.connect` is given.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { certificatesIn } from "./config/certificates.ts";
import type { BackendConfig, Config } from "./config/schema.ts";
import type { ReadFile } from "./config/tls-files.ts";

/** A backend with what its TLS needs; null where it has none. */
interface SecureTarget {
  readonly config: BackendConfig;
  readonly secureContext: tls.SecureContext | null;
}

interface FileContent {
  readonly path: string;
  readonly bytes: Buffer;
  readonly digest: string;
}

interface Parts {
  readonly ca: FileContent | null;
  readonly cert: FileContent | null;
  readonly key: FileContent | null;
}

/**
 * One context for all backends whose files hold the same bytes, used again by the next version of the
 * configuration: a reload with 1 000 backends builds only what has changed.
 */
export class SecureContexts {
  /** By what the files hold; only what the last version named. */
  #contexts: ReadonlyMap<string, tls.SecureContext> = new Map();

  /**
   * The contexts of one version of the configuration; reads each file once. An Error says what is wrong
   * with the backend's files.
   */
  load(
    backends: Iterable<BackendConfig>,
    readFile: ReadFile = readFileSync,
  ): ReadonlyMap<BackendConfig, tls.SecureContext | Error> {
    const files = new Map<string, FileContent>();
    const contexts = new Map<string, tls.SecureContext>();
    const found = new Map<BackendConfig, tls.SecureContext | Error>();
    for (const backend of backends) {
      try {
        const parts = readParts(backend, files, readFile);
        const content = [parts.ca, parts.cert, parts.key].map((file) => file?.digest ?? "").join(" ");
        const known = contexts.get(content) ?? this.#contexts.get(content);
        const context = known ?? createContext(parts);
        contexts.set(content, context);
        found.set(backend, context);
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        found.set(backend, new Error(`backend ${backend.id}: tls: ${reason}`, { cause }));
      }
    }
    this.#contexts = contexts;
    return found;
  }
}

/** Those that are reached by TLS. */
export function secureBackendsOf(pools: Config["pools"]): BackendConfig[] {
  return Object.values(pools).flatMap(({ backends }) => backends.filter(({ target }) => target.secure));
}

/** SNI carries names only (RFC 6066 §3). */
export function tlsOptions({ config, secureContext }: SecureTarget): tls.ConnectionOptions {
  const name = config.tls?.serverName ?? config.target.host;
  return {
    ...(secureContext === null ? {} : { secureContext }),
    ...(name === "" || net.isIP(name) !== 0 ? {} : { servername: name }),
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: config.tls?.verify ?? true,
  };
}

function readParts(
  { tls: options }: BackendConfig,
  files: Map<string, FileContent>,
  readFile: ReadFile,
): Parts {
  const read = (path: string | null | undefined): FileContent | null => {
    if (path === null || path === undefined) return null;
    const known = files.get(path);
    if (known !== undefined) return known;
    const bytes = readFile(path);
    const file = { path, bytes, digest: createHash("sha256").update(bytes).digest("base64") };
    files.set(path, file);
    return file;
  };
  return { ca: read(options?.ca), cert: read(options?.cert), key: read(options?.key) };
}

function createContext({ ca, cert, key }: Parts): tls.SecureContext {
  if (ca !== null) checkAuthorities(ca);
  return tls.createSecureContext({
    ...(ca === null ? {} : { ca: ca.bytes }),
    ...(cert === null ? {} : { cert: cert.bytes }),
    ...(key === null ? {} : { key: key.bytes }),
  });
}

/** OpenSSL passes over what it cannot read, and would then trust nobody. */
function checkAuthorities({ path, bytes }: FileContent): void {
  try {
    certificatesIn(bytes);
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
