// Throw-away certificate authorities and the certificates they sign, made by openssl for one test.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { temporaryFolder } from "./cleanup.ts";
import { findProgram, pathOf, type Requirement } from "./requirement.ts";

/** `test.skipIf(isMissing(openssl))` declares a test that needs certificates. */
export const openssl: Requirement = { name: "openssl", path: findProgram(["openssl"]) };

export interface Certificates {
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
  /** In the form of openssl's `-subj`. */
  readonly subject?: string;
  /** Days that it is valid; negative for one that has expired. Default 2. */
  readonly days?: number;
}

/** A certificate of an authority of its own. */
export async function makeCertificates(options: CertificateOptions = {}): Promise<Certificates> {
  return (await makeAuthority()).sign(options);
}

interface Authority {
  /** PEM. */
  readonly ca: string;
  readonly file: string;
  readonly sign: (options?: CertificateOptions) => Promise<Certificates>;
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];

export async function makeAuthority(): Promise<Authority> {
  const folder = await temporaryFolder();
  const subject = ["-subj", "/CN=Weir test CA", "-days", "2"];
  await run(folder, "req", "-x509", ...NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt", ...subject);
  const file = join(folder, "ca.crt");
  const ca = await readFile(file, "utf8");
  return { ca, file, sign: (options = {}) => sign(folder, ca, options) };
}

async function sign(authority: string, ca: string, options: CertificateOptions): Promise<Certificates> {
  const folder = await temporaryFolder();
  const subject = options.subject ?? "/CN=Weir test server";
  await run(folder, "req", ...NEW_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", subject);
  const names = options.names ?? "DNS:localhost,IP:127.0.0.1,IP:::1";
  await writeFile(join(folder, "server.ext"), `subjectAltName=${names}\nbasicConstraints=CA:FALSE\n`);
  const signer = ["-CA", join(authority, "ca.crt"), "-CAkey", join(authority, "ca.key"), "-CAcreateserial"];
  const time = ["-days", String(options.days ?? 2)];
  const output = ["-in", "server.csr", "-out", "server.crt", "-extfile", "server.ext"];
  await run(folder, "x509", "-req", ...output, ...signer, ...time);
  const files = {
    ca: join(authority, "ca.crt"),
    cert: join(folder, "server.crt"),
    key: join(folder, "server.key"),
  };
  const [cert, key] = await Promise.all([files.cert, files.key].map((each) => readFile(each, "utf8")));
  return { ca, cert: cert ?? "", key: key ?? "", files };
}

async function run(cwd: string, ...args: string[]): Promise<void> {
  await promisify(execFile)(pathOf(openssl), args, { cwd });
}
