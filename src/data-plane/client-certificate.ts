// The certificate that a client has shown in its TLS handshake: judged once, and kept as it was then. What a
// socket would show of it later is never read: another handshake could have changed that.

import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { alternativeNames, expiryOf } from "../config/certificates.ts";
import type { ListenerTlsConfig } from "../config/schema-listeners.ts";

/** A socket whose handshake is over. */
type SecuredSocket = Socket & Pick<TLSSocket, "authorized" | "authorizationError" | "getPeerX509Certificate">;

const KIND_OF_NAME: Readonly<Record<string, string>> = { dns: "DNS", email: "email", uri: "URI" };

/** OpenSSL's word. */
const EXPIRED = "CERT_HAS_EXPIRED";

interface Judged {
  readonly certificate: X509Certificate;
  /** Milliseconds since the epoch. */
  readonly endMs: number;
}

/** Those that `clientCa` vouches for. */
const judged = new WeakMap<Socket, Judged>();

/**
 * To be called when the handshake is over. One that is there but bad is refused where none would have been
 * asked for.
 *
 * @param nowMs since the epoch
 * @returns what is wrong; null: the client is let in
 */
export function judgeCertificate(
  socket: SecuredSocket,
  clientCert: ListenerTlsConfig["clientCert"],
  nowMs: number,
): string | null {
  if (clientCert === "off") return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined && clientCert === "optional") return null;
  const error: unknown = socket.authorizationError;
  if (certificate === undefined || !socket.authorized || error !== null) return String(error);
  // OpenSSL looks at the time in a whole handshake only, not where a session is resumed.
  const endMs = expiryOf(certificate);
  if (endMs <= nowMs) return EXPIRED;
  judged.set(socket, { certificate, endMs });
  return null;
}

/**
 * Whether the certificate that the client was let in with has come to its end; false without one.
 *
 * @param nowMs since the epoch
 */
export function hasExpired(socket: Socket, nowMs: number): boolean {
  const found = judged.get(socket);
  return found !== undefined && found.endMs <= nowMs;
}

/**
 * A field of the certificate; null without TLS, without a certificate that `clientCa` vouches for, and where
 * it has no such field. Of several names of a kind the first counts; a subject with two common names has none.
 *
 * @param field of `identity.user[].certificate`
 */
export function certificateField(socket: Socket, field: string): string | null {
  const found = judged.get(socket);
  return found === undefined ? null : fieldOf(found.certificate, field);
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
