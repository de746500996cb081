// Advice in the log: what seems to be amiss in how Weir is set up, once, and what mends it.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

function hintsOf({ log }: StartedWeir) {
  return log.entries.filter(({ fields }) => fields["fix"] !== undefined);
}

describe("hints", () => {
  test("name the proxy that is not trusted, once, and what to add for it", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, { config: { trustedProxies: ["10.0.0.0/8"] } });
    for (let i = 0; i < 3; i++) {
      await openClient(weir.url, { headers: { "X-Forwarded-For": `192.0.2.${i}` } });
      await ask(weir.httpUrl, { headers: { "X-Forwarded-For": `192.0.2.${i}` } });
    }
    await weir.log.entry("a request behind all others", ({ message }) => message === "request ended");
    expect(hintsOf(weir)).toEqual([
      {
        level: "warn",
        message: "a forwarder that is not trusted is not believed: its clients all have its own address",
        fields: {
          address: "127.0.0.1",
          effect: "they count as one user, and have no affinity",
          fix: 'if it is a proxy of yours: trustedProxies: ["10.0.0.0/8","127.0.0.1"]',
        },
      },
    ]);
  });

  test("name the pool without affinity that a polling transport uses, once", async () => {
    const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
    const weir = await startInFrontOf(backends.map(({ url }) => url));
    for (let i = 0; i < 3; i++) await ask(`${weir.httpUrl}/socket.io/?EIO=4&transport=polling&t=${i}`);
    const hint = await weir.log.entry("it", ({ fields }) => fields["fix"] !== undefined);
    expect(hint).toEqual({
      level: "warn",
      message: "a polling transport in a pool without affinity: its requests reach different backends",
      fields: { pool: "chat", fix: 'pools: { "chat": { affinity: { by: user } } }' },
    });
    expect(hintsOf(weir)).toHaveLength(1);
  });

  test("are not given for polling where one backend gets it all, or clients keep theirs", async () => {
    const backend = await startEchoBackend();
    const [single, affine] = await Promise.all([
      startInFrontOf(backend.url),
      startInFrontOf([backend.url, "ws://127.0.0.1:1"], { pool: { affinity: { by: "cookie" } } }),
    ]);
    for (const weir of [single, affine]) {
      await ask(`${weir.httpUrl}/socket.io/?EIO=4&transport=polling`);
      await weir.log.entry("the request", ({ message }) => message === "request ended");
      expect(hintsOf(weir)).toEqual([]);
    }
  });
});
