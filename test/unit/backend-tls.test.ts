import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { SecureContexts, tlsOptions } from "../../src/backend-tls.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { BackendConfig } from "../../src/config/schema.ts";
import { makeCertificates, openssl } from "../support/certificates.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { isMissing } from "../support/requirement.ts";

type Section = Readonly<Record<string, unknown>>;

/** The backend `b` of a configuration. */
function backend(tls: Section | "off" = "off", url = "wss://chat.test:443"): BackendConfig {
  const text = JSON.stringify({
    listeners: [":8080"],
    pools: { chat: { backends: [{ id: "b", url, tls }] } },
  });
  // As where it is only checked: what it names may be gone by the time that it is used.
  const result = loadConfig({ text, file: "test.yaml", env: {}, purpose: "check" });
  const config = result.ok ? result.config.pools["chat"]?.backends[0] : undefined;
  if (config === undefined) throw new Error("no backend");
  return config;
}

describe("SecureContexts", () => {
  test("backends without files share one context, in this version and the next", () => {
    const contexts = new SecureContexts();
    const [a, b] = [backend(), backend()];
    const first = contexts.load([a, b]);
    expect(first.get(a)).toBe(first.get(b));
    const c = backend();
    expect(contexts.load([c]).get(c)).toBe(first.get(a));
  });

  test.skipIf(isMissing(openssl))("what the files hold decides, not where they are", async () => {
    const { files } = await makeCertificates();
    const other = join(await temporaryFolder(), "other.crt");
    await copyFile(files.ca, other);
    const contexts = new SecureContexts();
    const [a, b, none] = [backend({ ca: files.ca }), backend({ ca: other }), backend()];
    const first = contexts.load([a, b, none]);
    expect(first.get(a)).toBe(first.get(b));
    expect(first.get(a)).not.toBe(first.get(none));

    const { files: renewed } = await makeCertificates();
    await copyFile(renewed.ca, other);
    const second = contexts.load([a, b]);
    expect(second.get(a)).toBe(first.get(a));
    expect(second.get(b)).not.toBe(first.get(b));
  });

  test.skipIf(isMissing(openssl))(
    "a certificate and an authority of the same bytes are not the same",
    async () => {
      const { files } = await makeCertificates();
      const [asAuthority, asCertificate] = [
        backend({ ca: files.cert }),
        backend({ cert: files.cert, key: files.key }),
      ];
      const contexts = new SecureContexts().load([asAuthority, asCertificate]);
      expect(contexts.get(asAuthority)).not.toBe(contexts.get(asCertificate));
    },
  );

  test.skipIf(isMissing(openssl))("files that cannot be used are an Error, and harm no other", async () => {
    const { cert, key, ca, files } = await makeCertificates();
    const folder = await temporaryFolder();
    const texts = new Map<string, string>();
    const file = (name: string, text: string) => {
      texts.set(join(folder, name), text);
      return join(folder, name);
    };
    const unreadable = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
    const cases: [Section, RegExp][] = [
      [{ ca: "/nowhere/ca.crt" }, /ENOENT.*\/nowhere\/ca\.crt/],
      [{ ca: file("empty.crt", "") }, /empty\.crt: holds no certificate/],
      [{ ca: file("key.crt", key) }, /key\.crt: holds no certificate/],
      [{ ca: file("half.crt", ca.slice(0, 200)) }, /half\.crt: holds no certificate/],
      [{ ca: file("second.crt", `${ca}${unreadable}`) }, /second\.crt: certificate 2 cannot be read/],
      [{ cert: file("half.pem", cert.slice(0, 200)), key: files.key }, /PEM/],
      [{ cert: file("other.pem", ca), key: files.key }, /key values mismatch/],
    ];
    const backends = cases.map(([tls]) => backend(tls));
    const good = backend({ ca: file("both.crt", `two authorities\n${ca}\n${cert}`) });
    // A configuration with such files would not have been taken; these become so afterwards.
    for (const [path, text] of texts) await writeFile(path, text);
    const contexts = new SecureContexts().load([...backends, good]);
    const messages = backends.map((one) => {
      const context = contexts.get(one);
      return context instanceof Error ? context.message : "no error";
    });
    for (const [index, [, expected]] of cases.entries()) expect(messages[index]).toMatch(expected);
    expect(messages.every((message) => message.startsWith("backend b: tls: "))).toBe(true);
    expect(contexts.get(good)).not.toBeInstanceOf(Error);
  });
});

describe("tlsOptions", () => {
  test.each([
    ["wss://chat.test", "off", "chat.test"],
    ["wss://chat.test", { serverName: "other.test" }, "other.test"],
    ["wss://192.0.2.1", { serverName: "chat.test" }, "chat.test"],
    ["wss://192.0.2.1", "off", undefined],
    ["wss://[2001:db8::1]", "off", undefined],
  ] as const)("%s with tls %j asks for the name %s", (url, tls, servername) => {
    const options = tlsOptions({ config: backend(tls, url), secureContext: null });
    expect(options.servername).toBe(servername);
    expect(options).toMatchObject({ rejectUnauthorized: true, ALPNProtocols: ["http/1.1"] });
  });

  test("does not check the certificate where it is told so", () => {
    const options = tlsOptions({ config: backend({ verify: false }), secureContext: null });
    expect(options.rejectUnauthorized).toBe(false);
  });
});
