// A client that shakes hands again on its open socket (TLS 1.2 renegotiation) to show another certificate than
// the one that was judged.
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

import { type Certificates, makeAuthority, openssl } from "../support/certificates.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { isMissing } from "../support/requirement.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";

const program = fileURLToPath(new URL("../support/shake-hands-twice.ts", import.meta.url));

interface Attempt {
  readonly port: number;
  readonly servername: string;
  /** Null: no certificate. */
  readonly from: Certificates | null;
  readonly to: Certificates;
}

async function shakeTwice({ port, servername, from, to }: Attempt): Promise<unknown> {
  const first = from === null ? ["", ""] : [from.files.cert, from.files.key];
  const args = [program, String(port), servername, ...first, to.files.cert, to.files.key];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
  return JSON.parse(stdout);
}

test.skipIf(isMissing(openssl))(
  "nobody becomes another by the certificate of a second handshake, whatever name is asked for, also after a reload",
  async () => {
    const { file, sign } = await makeAuthority();
    const [first, other] = [await sign(), await sign({ names: "DNS:other.test" })];
    const [ann, bob] = [await sign({ subject: "/CN=ann" }), await sign({ subject: "/CN=bob" })];
    const stranger = await (await makeAuthority()).sign({ subject: "/CN=admin" });
    const backend = await startEchoBackend();
    const configWith = (certificates: readonly Certificates[]) => {
      const served = certificates.map(({ files: { cert, key } }) => ({ cert, key }));
      const listeners = ["required", "optional"].map((clientCert) => ({
        bind: "127.0.0.1:0",
        tls: { certificates: served, clientCa: file, clientCert },
      }));
      return { listeners, identity: { user: [{ certificate: "cn" }] } };
    };
    const weir = await startInFrontOf(backend.url, { config: configWith([first, other]) });
    const ports = weir.weir.addresses.listeners.map((url) => Number(new URL(url).port));
    const [required = 0, optional = 0] = ports;

    const tryAll = async (servername: string): Promise<void> => {
      const attempts: [
        what: string,
        port: number,
        from: Certificates | null,
        to: Certificates,
        user: string,
      ][] = [
        ["required, a valid one, then another valid one", required, ann, bob, "ann"],
        ["optional, a valid one, then one that nobody vouches for", optional, ann, stranger, "ann"],
        ["optional, none, then a valid one", optional, null, ann, "ip:127.0.0.1"],
      ];
      for (const [what, port, from, to, user] of attempts) {
        const before = backend.requests.length;
        const outcome = await shakeTwice({ port, servername, from, to });
        const users = backend.requests.slice(before).map(({ headers }) => headers["x-weir-user"]);
        expect.soft({ what, servername, outcome, users }).toEqual({
          what,
          servername,
          outcome: { isRenegotiated: false, isAnswered: false },
          users: [user],
        });
      }
    };
    for (const name of ["localhost", "other.test"]) await tryAll(name);
    const third = await sign({ names: "DNS:third.test" });
    await reloadInFrontOf(weir, backend.url, { config: configWith([other, third]) });
    for (const name of ["localhost", "third.test"]) await tryAll(name);
    const failures = weir.log.entries.filter(({ message }) => message === "TLS handshake failed");
    expect(new Set(failures.map(({ fields }) => fields["reason"]))).toEqual(
      new Set(["ERR_TLS_RENEGOTIATION_DISABLED"]),
    );
  },
);
