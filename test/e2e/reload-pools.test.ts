// The backend list changes again and again while messages flow and clients come.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

const RELOADS = 100;

test("a hundred reloads under load lose no message, no connection and no upgrade", async () => {
  const backends = await Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
  const listOf = (reload: number): { id: string; url: string; weight: number }[] =>
    backends
      .map(({ id, url }, index) => ({ id, url, weight: 1 + ((reload + index) % 3) }))
      // `a` stays; the others leave and return by turns.
      .filter((_, index) => index === 0 || (reload + index) % 2 === 0);
  const options = { pool: { onRemove: { mode: "keep" } }, config: { threads: 2 } };
  const weir = await startInFrontOf(listOf(0), options);
  const clients = await Promise.all(Array.from({ length: 40 }, () => openClient(weir.url)));
  const over = new AbortController();
  const talks = clients.map(async (client) => {
    let answered = 0;
    for (; !over.signal.aborted; answered += 1) {
      const text = `message ${answered}`;
      expect(await client.ask(text)).toBe(text);
    }
    return answered;
  });
  const seen = new Set<string>();
  for (let reload = 1; reload <= RELOADS; reload += 1) {
    const [client] = await Promise.all([
      openClient(weir.url),
      reloadInFrontOf(weir, listOf(reload), options),
    ]);
    seen.add(client.backendId);
    await client.close(1000);
  }
  over.abort();
  for (const answered of await Promise.all(talks)) expect(answered).toBeGreaterThan(0);
  expect(seen).toEqual(new Set(["a", "b", "c"]));
});
