// What certificates say, and what is said of the files that a configuration names.

import { X509Certificate } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { alternativeNames, certificatesIn, hostNamesOf } from "../../../src/config/certificates.ts";
import { formatProblem, loadConfig, loadConfigFile, parseConfig } from "../../../src/config/load.ts";
import { makeAuthority, makeCertificates, openssl } from "../../support/certificates.ts";
import { temporaryFolder } from "../../support/cleanup.ts";
import { isMissing } from "../../support/requirement.ts";

/** A certificate as far as its names are concerned. */
function named(subjectAltName: string | undefined): X509Certificate {
  return { subjectAltName } as X509Certificate;
}

describe("alternativeNames", () => {
  test.each([
    [undefined, []],
    ["", []],
    ["DNS:a.test", [["DNS", "a.test"]]],
    [
      "DNS:a.test, URI:http://b/, IP Address:::1",
      [
        ["DNS", "a.test"],
        ["URI", "http://b/"],
        ["IP Address", "::1"],
      ],
    ],
    // One name that looks like two: it comes quoted, and stays one.
    ['URI:"http://a/\\u002c DNS:evil.test"', [["URI", "http://a/, DNS:evil.test"]]],
    [
      'URI:"http://a/, DNS:evil.test", DNS:b',
      [
        ["URI", "http://a/, DNS:evil.test"],
        ["DNS", "b"],
      ],
    ],
    ['DNS:"a\\u0000b"', [["DNS", "a\u0000b"]]],
    // What is no list of names has none.
    ['DNS:"a', []],
    ["DNS:a.test, nonsense", []],
    ['DNS:a.test, DNS:"b"c', []],
    ['DNS:"\\x"', [["DNS", ""]]],
  ])("of %j are %j", (text, expected) => {
    expect(alternativeNames(named(text)).map(({ kind, value }) => [kind, value])).toEqual(expected);
  });

  test("only DNS names are host names, in lower case", () => {
    expect(hostNamesOf(named("DNS:A.Test, email:b@test, DNS:*.b.test"))).toEqual(["a.test", "*.b.test"]);
  });
});

describe.skipIf(isMissing(openssl))("certificates of a configuration", () => {
  interface Files {
    readonly cert?: string;
    readonly key?: string;
    readonly clientCa?: string;
  }

  /** What a listener with these texts as its files is told. */
  async function problemsOf({ cert, key, clientCa }: Files): Promise<string[]> {
    const folder = await temporaryFolder();
    const texts = Object.entries({ cert, key, clientCa });
    for (const [name, text] of texts) if (text !== undefined) await writeFile(join(folder, name), text);
    const yaml = `listeners:
  - bind: ":1"
    tls:
      certificates:
        - cert: cert
          key: key
      clientCa: ${clientCa === undefined ? "off" : "clientCa"}
pools: { chat: { backends: ["ws://a:1"] } }
`;
    const loaded = loadConfig({ text: yaml, file: join(folder, "weir.yaml"), env: {} });
    const errors = loaded.ok ? [] : loaded.errors.map((one) => formatProblem(one, "error"));
    const warnings = loaded.warnings.map((one) => formatProblem(one, "warning"));
    return [...errors, ...warnings].map((line) => line.replaceAll(`${folder}/`, ""));
  }

  test("that fit are not worth a word, a chain and an authority either", async () => {
    const { cert, key, ca } = await makeCertificates();
    expect(await problemsOf({ cert: cert + ca, key, clientCa: ca + ca })).toEqual([]);
    expect(certificatesIn(`text before\n${cert}between\n${ca}after`)).toHaveLength(2);
  });

  test("that do not are errors at their places", async () => {
    const { sign } = await makeAuthority();
    const [one, other] = [await sign(), await sign()];
    const broken = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n";
    expect(await problemsOf({ cert: one.cert, key: other.key })).toEqual([
      "weir.yaml:6:16: listeners[0].tls.certificates[0].key: is not the key of cert",
    ]);
    expect(await problemsOf({ cert: one.key, key: "garbage", clientCa: one.cert + broken })).toEqual([
      "weir.yaml:5:17: listeners[0].tls.certificates[0].cert: cert: holds no certificate in PEM format",
      "weir.yaml:6:16: listeners[0].tls.certificates[0].key: key holds no private key in PEM format without a passphrase",
      "weir.yaml:7:17: listeners[0].tls.clientCa: clientCa: certificate 2 cannot be read",
    ]);
  });

  test("that are not there are warnings, as the file may be checked elsewhere", async () => {
    expect(await problemsOf({})).toEqual([
      "weir.yaml:5:17: warning: listeners[0].tls.certificates[0].cert: cert cannot be read: no such file or directory",
      "weir.yaml:6:16: warning: listeners[0].tls.certificates[0].key: key cannot be read: no such file or directory",
    ]);
  });

  test("that are not there are errors where the configuration is to be run", async () => {
    const ca = join(await temporaryFolder(), "no.crt");
    const pools = { chat: { backends: [{ url: "wss://a:1", tls: { ca } }] } };
    const file = join(await temporaryFolder(), "weir.yaml");
    await writeFile(file, `listeners: [":1"]\npools: ${JSON.stringify(pools)}\n`);
    const path = "pools.chat.backends[0].tls.ca";
    const message = `${ca} cannot be read: no such file or directory`;
    for (const { loaded, place } of [
      { loaded: loadConfigFile(file, {}, "run"), place: { file, line: 2, column: 60 } },
      {
        loaded: parseConfig({ listeners: [":1"], pools }),
        place: { file: null, line: null, column: null },
      },
    ]) {
      expect(loaded).toMatchObject({ ok: false, errors: [{ ...place, path, message }], warnings: [] });
    }
  });

  test("that have expired are warnings: they are served", async () => {
    const { cert, key } = await makeCertificates({ days: -1 });
    const [problem, ...others] = await problemsOf({ cert, key });
    expect(problem).toMatch(
      /^weir\.yaml:5:17: warning: .*cert: cert holds a certificate that expired on \w+ /,
    );
    expect(others).toEqual([]);
  });

  test("a folder in place of a file is a warning as well", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "ca.crt"));
    const text = `{ listeners: [":1"], pools: { chat: { backends: [{ url: "wss://a:1", tls: { ca: ca.crt } }] } } }`;
    const loaded = loadConfig({ text, file: join(folder, "weir.yaml"), env: {} });
    expect(loaded.warnings.map(({ path, message }) => [path, message])).toEqual([
      ["pools.chat.backends[0].tls.ca", expect.stringMatching(/cannot be read: .*directory/) as string],
    ]);
  });
});
