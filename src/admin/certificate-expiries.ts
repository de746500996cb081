// When the certificates of the listeners expire, as the files hold them that are in effect.

import { X509Certificate } from "node:crypto";
import type { ListenerConfig } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";

interface Expiry {
  /** The listener's address, as the file has it; with `#2`, `#3` … where several let the system choose a port. */
  readonly listener: string;
  /** Milliseconds since the epoch: of the first certificate to expire; NaN without TLS. */
  readonly atMs: number;
}

export class CertificateExpiries {
  all: readonly Expiry[] = [];

  /** Called for each configuration that is applied, as for certificates that change. */
  configure(listeners: readonly ListenerConfig[], readFile: ReadFile): void {
    const uses = new Map<string, number>();
    this.all = listeners.map(({ bind, tls }) => ({
      listener: numbered(bind.text, uses),
      atMs:
        tls === null ? Number.NaN : Math.min(...tls.certificates.map(({ cert }) => expiryOf(cert, readFile))),
    }));
  }
}

/** @param uses how often each text was given before; counted on */
function numbered(text: string, uses: Map<string, number>): string {
  const use = (uses.get(text) ?? 0) + 1;
  uses.set(text, use);
  return use === 1 ? text : `${text}#${use}`;
}

/** Of the leaf, which comes first in the file. A certificate that cannot be read is as good as expired. */
function expiryOf(file: string, readFile: ReadFile): number {
  try {
    return new X509Certificate(readFile(file)).validToDate.getTime();
  } catch {
    return 0;
  }
}
