import { X509Certificate } from "node:crypto";
import { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import {
  certificateField,
  hasExpired,
  judgeCertificate,
} from "../../../src/data-plane/client-certificate.ts";
import { makeAuthority, openssl } from "../../support/certificates.ts";
import { isMissing } from "../../support/requirement.ts";

const now = Date.now();

/** A socket whose client has shown this certificate. */
function shown(certificate: X509Certificate | undefined, error: string | null = null) {
  return Object.assign(new Socket(), {
    authorized: error === null,
    authorizationError: error as unknown as Error,
    getPeerX509Certificate: () => certificate,
  });
}

/** The same, let in with it. */
function judged(certificate: X509Certificate): Socket {
  const socket = shown(certificate);
  expect(judgeCertificate(socket, "required", now)).toBeNull();
  return socket;
}

describe.skipIf(isMissing(openssl))("certificateField", () => {
  const ann = "/CN=ann/O=Test";
  const names = "DNS:Ann.test,email:ann@test,URI:spiffe://test/ann,DNS:b.test";

  test("reads what is there, once and for certain", async () => {
    const { sign } = await makeAuthority();
    const cases: [field: string, subject: string, names: string, value: string | null][] = [
      ["cn", ann, names, "ann"],
      ["cn", "/CN=ann/CN=bob", names, null],
      ["cn", "/O=Test", names, null],
      ["cn", "/CN=a\\/CN=b", names, "a/CN=b"],
      ["cn", "/CN=a, DNS:b", names, "a, DNS:b"],
      ["dns", ann, names, "Ann.test"],
      ["email", ann, names, "ann@test"],
      ["uri", ann, names, "spiffe://test/ann"],
      ["email", ann, "DNS:a.test", null],
    ];
    for (const [field, subject, san, value] of cases) {
      const certificate = new X509Certificate((await sign({ subject, names: san })).cert);
      expect.soft({ field, subject, san, value: certificateField(judged(certificate), field) }).toEqual({
        field,
        subject,
        san,
        value,
      });
    }
  });

  test("fingerprint is the SHA-256 of all of it, in hex", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign()).cert);
    expect(certificateField(judged(certificate), "fingerprint")).toMatch(/^[\da-f]{64}$/);
  });

  test("is null without one, and where nobody has judged it", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign({ subject: ann })).cert);
    const without = shown(undefined);
    judgeCertificate(without, "optional", now);
    const unasked = shown(certificate);
    judgeCertificate(unasked, "off", now);
    for (const socket of [without, unasked, shown(certificate), new Socket()]) {
      expect(certificateField(socket, "cn")).toBeNull();
    }
  });

  test("stays what it was when it was judged, whatever the socket shows later", async () => {
    const { sign } = await makeAuthority();
    const certificate = new X509Certificate((await sign({ subject: ann })).cert);
    const other = new X509Certificate((await sign({ subject: "/CN=bob" })).cert);
    const socket = shown(certificate);
    judgeCertificate(socket, "required", now);
    socket.getPeerX509Certificate = () => other;
    expect(certificateField(socket, "cn")).toBe("ann");
    const anonymous = shown(undefined);
    judgeCertificate(anonymous, "optional", now);
    Object.assign(anonymous, { authorized: true, getPeerX509Certificate: () => other });
    expect(certificateField(anonymous, "cn")).toBeNull();
  });
});

describe.skipIf(isMissing(openssl))("judgeCertificate", () => {
  test("refuses one that nobody vouches for, and under required who has none", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign()).cert);
    const bad = "DEPTH_ZERO_SELF_SIGNED_CERT";
    const missing = "UNABLE_TO_GET_ISSUER_CERT";
    expect(judgeCertificate(shown(certificate, bad), "required", now)).toBe(bad);
    expect(judgeCertificate(shown(certificate, bad), "optional", now)).toBe(bad);
    expect(judgeCertificate(shown(undefined, missing), "required", now)).toBe(missing);
    expect(judgeCertificate(shown(undefined, missing), "optional", now)).toBeNull();
    expect(judgeCertificate(shown(undefined, null), "required", now)).not.toBeNull();
    expect(judgeCertificate(shown(certificate, bad), "off", now)).toBeNull();
  });

  test("believes no socket that says at once that it is authorized and why it is not", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign()).cert);
    const socket = Object.assign(shown(certificate, "CERT_HAS_EXPIRED"), { authorized: true });
    expect(judgeCertificate(socket, "optional", now)).toBe("CERT_HAS_EXPIRED");
    expect(certificateField(socket, "cn")).toBeNull();
  });

  test("refuses one from the moment of its end on, also where the handshake let it pass", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign()).cert);
    const endMs = Date.parse(certificate.validTo);
    for (const clientCert of ["optional", "required"] as const) {
      expect(judgeCertificate(shown(certificate), clientCert, endMs - 1)).toBeNull();
      expect(judgeCertificate(shown(certificate), clientCert, endMs)).toBe("CERT_HAS_EXPIRED");
    }
    const socket = shown(certificate);
    judgeCertificate(socket, "required", endMs - 1);
    expect([hasExpired(socket, endMs - 1), hasExpired(socket, endMs)]).toEqual([false, true]);
    expect(hasExpired(new Socket(), endMs)).toBe(false);
  });
});
