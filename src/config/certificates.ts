// What certificates in PEM files say: the names that they are for, and how long they hold.

import { X509Certificate } from "node:crypto";

/** One entry of a certificate's subjectAltName. */
interface AlternativeName {
  /** As Node writes it: `DNS`, `URI`, `email`, `IP Address` … */
  readonly kind: string;
  readonly value: string;
}

/** PEM; OpenSSL writes three kinds of label. */
const CERTIFICATE =
  /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?-----END (?:X509 |TRUSTED )?CERTIFICATE-----/gs;

/** `KIND:VALUE`; a value that holds a comma, a quote or a control character is written as in JSON. */
const ALTERNATIVE_NAME = /([^:,"]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

/** The certificates of a file, in their order. Throws where there is none, or one cannot be read. */
export function certificatesIn(pem: Buffer | string): X509Certificate[] {
  const blocks = pem.toString("latin1").match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error("holds no certificate in PEM format");
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new Error(`certificate ${index + 1} cannot be read`, { cause });
    }
  });
}

/** Names of its subjectAltName, in their order; none where a name could be read in two ways. */
export function alternativeNames({ subjectAltName: text = "" }: X509Certificate): AlternativeName[] {
  const names: AlternativeName[] = [];
  const pattern = new RegExp(ALTERNATIVE_NAME);
  while (pattern.lastIndex < text.length) {
    const [, kind, value] = pattern.exec(text) ?? [];
    if (kind === undefined || value === undefined) return [];
    names.push({ kind, value: value.startsWith('"') ? unquoted(value) : value });
  }
  return names;
}

/** Host names that it is for, in lower case: exact ones, and such whose first label is `*`. */
export function hostNamesOf(certificate: X509Certificate): string[] {
  return alternativeNames(certificate).flatMap(({ kind, value }) =>
    kind === "DNS" ? [value.toLowerCase()] : [],
  );
}

/** Milliseconds since the epoch. */
export function expiryOf({ validTo }: X509Certificate): number {
  return Date.parse(validTo);
}

/** Empty, which no name is, for what is no JSON. */
function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return "";
  }
}
