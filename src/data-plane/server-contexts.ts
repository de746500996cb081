// The certificates that a listener serves, as contexts of OpenSSL: which one answers to which name, and
// which clients it asks for a certificate of their own.

import { createHash } from "node:crypto";
import tls from "node:tls";
import { certificatesIn, hostNamesOf } from "../config/certificates.ts";
import type { ListenerTlsConfig } from "../config/schema-listeners.ts";
import type { ReadFile } from "../config/tls-files.ts";

/** What a context is made of. */
interface Parts {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | null;
  readonly minVersion: ListenerTlsConfig["minVersion"];
  readonly sessionIdContext: string;
}

/** The contexts of one listener. */
export interface ServedCertificates {
  /** What a client has to show, in short: another text, another demand. */
  readonly policy: string;
  /** What `tls.createServer` is given for clients without SNI, or with a name that no certificate has. */
  readonly fallback: tls.SecureContextOptions;
  /** The context for a name that a client asks for; undefined: the fallback. */
  find(serverName: string): tls.SecureContext | undefined;
}

/** Contexts by what they are made of: a reload makes only those that are new. */
export class ServerContexts {
  #contexts: ReadonlyMap<string, tls.SecureContext> = new Map();
  #next = new Map<string, tls.SecureContext>();

  /**
   * Throws where a file cannot be read or used.
   * @param listener its number: a session of one listener is none of another, which may trust other clients
   */
  load(config: ListenerTlsConfig, readFile: ReadFile, listener: number): ServedCertificates {
    const ca = config.clientCa === null ? null : readFile(config.clientCa);
    if (ca !== null) certificatesIn(ca);
    const policy = [String(listener), config.clientCert, ca === null ? "" : digest(ca)];
    // A client that a new `clientCa` does not know must not come in on a session of the old one.
    const sessionIdContext = digest(policy.join(" ")).slice(0, 32);
    const common = { ca, minVersion: config.minVersion, sessionIdContext };
    const all = config.certificates.map(({ cert, key }) => {
      const parts = { ...common, cert: readFile(cert), key: readFile(key) };
      return { parts, names: namesIn(parts.cert), context: this.#contextOf(parts) };
    });
    const [first] = all;
    if (first === undefined) throw new Error("a listener with TLS has no certificate");
    const byName = new Map<string, tls.SecureContext>();
    for (const { names, context } of all) {
      for (const name of names) if (!byName.has(name)) byName.set(name, context);
    }
    return {
      policy: `${config.minVersion} ${sessionIdContext}`,
      fallback: optionsOf(first.parts),
      find: (serverName) => lookUp(byName, serverName),
    };
  }

  /** Forgets what no listener has asked for since the last time. */
  settle(): void {
    this.#contexts = this.#next;
    this.#next = new Map();
  }

  #contextOf(parts: Parts): tls.SecureContext {
    const { cert, key, ca, minVersion, sessionIdContext } = parts;
    const files = [cert, key, ...(ca === null ? [] : [ca])].map((bytes) => digest(bytes));
    const content = [...files, minVersion, sessionIdContext].join(" ");
    const context =
      this.#next.get(content) ??
      this.#contexts.get(content) ??
      // It throws where the key is not the certificate's.
      tls.createSecureContext(optionsOf(parts));
    this.#next.set(content, context);
    return context;
  }
}

function optionsOf({ ca, ...parts }: Parts): tls.SecureContextOptions {
  return { ...parts, ...(ca === null ? {} : { ca }) };
}

function namesIn(pem: Buffer): string[] {
  const [leaf] = certificatesIn(pem);
  return leaf === undefined ? [] : hostNamesOf(leaf);
}

/** In a certificate, `*` stands for the whole first label, and for one label only (RFC 6125 §6.4.3). */
function lookUp(
  byName: ReadonlyMap<string, tls.SecureContext>,
  serverName: string,
): tls.SecureContext | undefined {
  const name = serverName.toLowerCase();
  if (name.startsWith("*")) return undefined;
  const dot = name.indexOf(".");
  return byName.get(name) ?? (dot > 0 ? byName.get(`*${name.slice(dot)}`) : undefined);
}

function digest(content: Buffer | string): string {
  return createHash("sha256").update(content).digest("hex");
}
