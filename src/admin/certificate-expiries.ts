// When the certificates of the listeners expire, as the files hold them that are in effect.

import { X509Certificate } from "node:crypto";
import type { ListenerConfig } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";

interface Expiry {
  /** The listener's address, as the file has it. */
  readonly listener: string;
  /** Milliseconds since the epoch: of the first certificate to expire; NaN without TLS. */
  readonly atMs: number;
}

export class CertificateExpiries {
  all: readonly Expiry[] = [];

  /** Called for each configuration that is applied, as for certificates that change. */
  configure(listeners: readonly ListenerConfig[], readFile: ReadFile): void {
    this.all = listeners.map(({ bind, tls }) => ({
      listener: bind.text,
      atMs:
        tls === null ? Number.NaN : Math.min(...tls.certificates.map(({ cert }) => expiryOf(cert, readFile))),
    }));
  }
}

/** Of the leaf, which comes first in the file. A certificate that cannot be read is as good as expired. */
function expiryOf(file: string, readFile: ReadFile): number {
  try {
    return new X509Certificate(readFile(file)).validToDate.getTime();
  } catch {
    return 0;
  }
}
