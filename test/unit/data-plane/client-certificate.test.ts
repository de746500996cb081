import { X509Certificate } from "node:crypto";
import { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { certificateField } from "../../../src/data-plane/client-certificate.ts";
import { makeAuthority, openssl } from "../../support/certificates.ts";
import { isMissing } from "../../support/requirement.ts";

/** A socket whose client has shown this certificate. */
function socketOf(shown: X509Certificate | undefined, authorized = true): Socket {
  const facts = { encrypted: true, authorized, getPeerX509Certificate: () => shown };
  return Object.assign(new Socket(), facts);
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
      expect.soft({ field, subject, san, value: certificateField(socketOf(certificate), field) }).toEqual({
        field,
        subject,
        san,
        value,
      });
    }
  });

  test("fingerprint is the SHA-256 of all of it, in hex", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign()).cert);
    expect(certificateField(socketOf(certificate), "fingerprint")).toMatch(/^[\da-f]{64}$/);
  });

  test("is null for a certificate that nobody vouches for, without one, and without TLS", async () => {
    const certificate = new X509Certificate((await (await makeAuthority()).sign({ subject: ann })).cert);
    expect(certificateField(socketOf(certificate, false), "cn")).toBeNull();
    expect(certificateField(socketOf(undefined), "cn")).toBeNull();
    expect(certificateField(new Socket(), "cn")).toBeNull();
  });
});
