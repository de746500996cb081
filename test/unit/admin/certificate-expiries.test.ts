import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";

import { CertificateExpiries } from "../../../src/admin/certificate-expiries.ts";
import { parseConfig } from "../../../src/config/load.ts";
import type { ListenerConfig } from "../../../src/config/schema.ts";
import { makeCertificates, openssl } from "../../support/certificates.ts";
import { isMissing } from "../../support/requirement.ts";

function listenersOf(listeners: readonly unknown[]): readonly ListenerConfig[] {
  const loaded = parseConfig({ listeners, pools: { chat: { backends: ["ws://a"] } } });
  if (!loaded.ok) throw new Error("the test's configuration is wrong");
  return loaded.config.listeners;
}

test("listeners that let the system choose a port are told apart", () => {
  const expiries = new CertificateExpiries();
  const binds = ["127.0.0.1:0", ":8080", "127.0.0.1:0", "127.0.0.1:0"];
  expiries.configure(listenersOf(binds), (file) => readFileSync(file));
  const names = ["127.0.0.1:0", ":8080", "127.0.0.1:0#2", "127.0.0.1:0#3"];
  expect(expiries.all.map(({ listener }) => listener)).toEqual(names);
});

test.skipIf(isMissing(openssl))("the first certificate of a listener to expire counts", async () => {
  const [{ files }, other] = [await makeCertificates(), await makeCertificates()];
  const certificates = [
    { cert: files.cert, key: files.key },
    { cert: other.files.cert, key: other.files.key },
  ];
  const expiries = new CertificateExpiries();
  const listeners = listenersOf([{ bind: ":8443", tls: { certificates } }, ":8080"]);
  expiries.configure(listeners, (file) => readFileSync(file));
  const [secure, plain] = expiries.all;
  expect(secure?.listener).toBe(":8443");
  expect(secure?.atMs).toBeGreaterThan(Date.now());
  expect(plain).toEqual({ listener: ":8080", atMs: Number.NaN });

  // One that cannot be read any more is as good as expired.
  await writeFile(other.files.cert, "nonsense");
  expiries.configure(listeners, (file) => readFileSync(file));
  expect(expiries.all[0]).toEqual({ listener: ":8443", atMs: 0 });
});
