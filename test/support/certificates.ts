// A throw-away certificate authority and server certificate, made by openssl for one test.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { temporaryFolder } from "./cleanup.ts";
import { findProgram, pathOf, type Requirement } from "./requirement.ts";

/** `test.skipIf(isMissing(openssl))` declares a test that needs certificates. */
export const openssl: Requirement = { name: "openssl", path: findProgram(["openssl"]) };

interface Certificates {
  /** PEM. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The same as files, for a configuration. */
  readonly files: { readonly ca: string; readonly cert: string; readonly key: string };
}

interface CertificateOptions {
  /** subjectAltName. Default localhost, 127.0.0.1 and ::1. */
  readonly names?: string;
}

export async function makeCertificates(options: CertificateOptions = {}): Promise<Certificates> {
  const folder = await temporaryFolder();
  const file = (name: string) => join(folder, name);
  const run = (...args: string[]) => promisify(execFile)(pathOf(openssl), args, { cwd: folder });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
  await run(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-subj",
    "/CN=Weir test CA",
    "-days",
    "2",
  );
  await run("req", ...newKey, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=Weir test server");
  await writeFile(
    file("server.ext"),
    `subjectAltName=${options.names ?? "DNS:localhost,IP:127.0.0.1,IP:::1"}\nbasicConstraints=CA:FALSE\n`,
  );
  const signing = [
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    "server.ext",
  ];
  await run("x509", "-req", "-in", "server.csr", "-out", "server.crt", ...signing);
  const files = { ca: file("ca.crt"), cert: file("server.crt"), key: file("server.key") };
  const [ca, cert, key] = await Promise.all(
    [files.ca, files.cert, files.key].map((each) => readFile(each, "utf8")),
  );
  return { ca: ca ?? "", cert: cert ?? "", key: key ?? "", files };
}
