// Whether the certificates and keys that a configuration names can be used, for an error with its place in the
// file. Where a configuration is only checked, a file that is not there is a warning: it may run elsewhere.

import { createPrivateKey, type X509Certificate } from "node:crypto";
import { certificatesIn, expiryOf } from "./certificates.ts";
import type { Finding, KeyPath } from "./problems.ts";
import type { Config } from "./schema.ts";
import { reasonOf } from "./source-files.ts";

/** What a configuration is read for: to be run here, or to be told what is wrong with it. */
export type Purpose = "run" | "check";

interface CertificateFindings {
  readonly errors: readonly Finding[];
  readonly warnings: readonly Finding[];
}

interface CheckOptions {
  readonly purpose: Purpose;
  readonly nowMs: number;
}

/** @param readFile by absolute path; throws for a file that cannot be read */
export function checkCertificates(
  config: Config,
  readFile: (path: string) => string,
  { purpose, nowMs }: CheckOptions,
): CertificateFindings {
  const check = new Check(readFile, { purpose, nowMs });
  config.listeners.forEach(({ tls }, i) => {
    const path = ["listeners", i, "tls"];
    tls?.certificates.forEach((pair, j) => check.pair(pair, [...path, "certificates", j]));
    check.authorities(tls?.clientCa, [...path, "clientCa"]);
  });
  for (const [name, { backends }] of Object.entries(config.pools)) {
    backends.forEach(({ tls }, i) => {
      const path = ["pools", name, "backends", i, "tls"];
      check.authorities(tls?.ca, [...path, "ca"]);
      if (tls?.cert && tls.key) check.pair({ cert: tls.cert, key: tls.key }, path);
    });
  }
  return check;
}

class Check implements CertificateFindings {
  readonly errors: Finding[] = [];
  readonly warnings: Finding[] = [];
  readonly #readFile: (path: string) => string;
  readonly #nowMs: number;
  readonly #unreadable: Finding[];

  constructor(readFile: (path: string) => string, { purpose, nowMs }: CheckOptions) {
    this.#readFile = readFile;
    this.#nowMs = nowMs;
    this.#unreadable = purpose === "run" ? this.errors : this.warnings;
  }

  pair({ cert, key }: { readonly cert: string; readonly key: string }, path: KeyPath): void {
    const [leaf] = this.#certificates(cert, [...path, "cert"]);
    const pem = this.#read(key, [...path, "key"]);
    if (pem === null) return;
    try {
      const privateKey = createPrivateKey(pem);
      if (leaf !== undefined && !leaf.checkPrivateKey(privateKey)) {
        this.errors.push({ path: [...path, "key"], message: `is not the key of ${cert}` });
      }
    } catch {
      // What OpenSSL says of it helps nobody.
      const message = `${key} holds no private key in PEM format without a passphrase`;
      this.errors.push({ path: [...path, "key"], message });
    }
  }

  authorities(file: string | null | undefined, path: KeyPath): void {
    if (file) this.#certificates(file, path);
  }

  #certificates(file: string, path: KeyPath): X509Certificate[] {
    const pem = this.#read(file, path);
    if (pem === null) return [];
    try {
      const certificates = certificatesIn(pem);
      const expired = certificates.find((one) => expiryOf(one) <= this.#nowMs);
      if (expired !== undefined) {
        this.warnings.push({
          path,
          message: `${file} holds a certificate that expired on ${expired.validTo}`,
        });
      }
      const early = certificates.find(({ validFrom }) => Date.parse(validFrom) > this.#nowMs);
      if (early !== undefined) {
        const message = `${file} holds a certificate that is not valid before ${early.validFrom}`;
        this.warnings.push({ path, message });
      }
      return certificates;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.errors.push({ path, message: `${file}: ${reason}` });
      return [];
    }
  }

  #read(file: string, path: KeyPath): string | null {
    try {
      return this.#readFile(file);
    } catch (error) {
      this.#unreadable.push({ path, message: `${file} cannot be read: ${reasonOf(error)}` });
      return null;
    }
  }
}
