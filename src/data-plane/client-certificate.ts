// What the certificate that a client has shown in its TLS handshake says of it.

import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { alternativeNames } from "../config/certificates.ts";

const KIND_OF_NAME: Readonly<Record<string, string>> = { dns: "DNS", email: "email", uri: "URI" };

/**
 * A field of the certificate; null without TLS, without a certificate that `clientCa` vouches for, and where
 * it has no such field. Of several names of a kind the first counts; a subject with two common names has none.
 *
 * @param field of `identity.user[].certificate`
 */
export function certificateField(socket: Socket, field: string): string | null {
  const { encrypted, authorized } = socket as Socket & Partial<Pick<TLSSocket, "encrypted" | "authorized">>;
  if (encrypted !== true || authorized !== true) return null;
  const certificate = (socket as TLSSocket).getPeerX509Certificate();
  return certificate === undefined ? null : fieldOf(certificate, field);
}

function fieldOf(certificate: X509Certificate, field: string): string | null {
  if (field === "fingerprint") return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
  if (field === "cn") {
    const name: unknown = certificate.toLegacyObject().subject?.CN;
    return typeof name === "string" ? name : null;
  }
  const kind = KIND_OF_NAME[field];
  return alternativeNames(certificate).find((name) => name.kind === kind)?.value ?? null;
}
