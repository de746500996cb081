// Behind a forwarder that is not trusted all clients look like one user: affinity would put them all on one
// backend, so they have none.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

type Headers = Readonly<Record<string, string>>;

async function start(config: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  const backends = await Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
  return startInFrontOf(
    backends.map(({ url }) => url),
    { pool: { affinity: { by: "user" } }, config: { threads: 2, trustedProxies: [], ...config } },
  );
}

/** The backends that six connections reach, one after the other. */
async function reach(weir: StartedWeir, headersOf: (n: number) => Headers): Promise<string[]> {
  const reached: string[] = [];
  for (let n = 0; n < 6; n++) {
    reached.push((await openClient(weir.url, { headers: headersOf(n) })).backendId);
  }
  return reached.toSorted();
}

const spread = ["a", "a", "b", "b", "c", "c"];

function hints({ log }: StartedWeir) {
  return log.entries.filter(({ fields }) => fields["effect"] !== undefined);
}

test("clients of an untrusted forwarder are spread, and one warning says what to add", async () => {
  const weir = await start();
  for (const name of ["X-Forwarded-For", "Forwarded"]) {
    expect(await reach(weir, (n) => ({ [name]: `192.0.2.${n}` }))).toEqual(spread);
  }
  expect((await ask(weir.httpUrl, { headers: { "X-Forwarded-For": "192.0.2.1" } })).status).toBe(200);
  expect(hints(weir)).toMatchObject([
    {
      level: "warn",
      fields: {
        effect: "they count as one user, and have no affinity",
        fix: expect.stringMatching(/^if it is a proxy of yours: trustedProxies: \["127\.\d+\.\d+\.\d+"\]$/),
      },
    },
  ]);
});

test("a client that forwards for nobody keeps its backend, and so does a user with a name", async () => {
  const weir = await start({ identity: { user: [{ query: "user", unsigned: true }, "ip"] } });
  expect(new Set(await reach(weir, () => ({}))).size).toBe(1);
  const named = [];
  for (let n = 0; n < 3; n++) {
    const client = await openClient(`${weir.url}/?user=ann`, { headers: { Forwarded: `for=192.0.2.${n}` } });
    named.push(client.backendId);
  }
  expect(new Set(named).size).toBe(1);
  expect(hints(weir)).toEqual([]);
});
