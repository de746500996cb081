// Backends that are named by a host name instead of an address: each address may be a backend of its own, and a
// name that nobody knows harms none of the others.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

/** RFC 6761 §6.4: no name server knows it. */
const UNKNOWN = "ws://nobody.invalid:80";

describe("a backend that is named by its host", () => {
  test("with resolve: all is one of its own for each address, checked and counted by itself", async () => {
    const backend = await startEchoBackend();
    const entry = { id: "chat", url: `ws://localhost:${backend.port}`, resolve: "all" };
    const weir = await startInFrontOf(entry, { pool: { healthCheck: { type: "tcp" } } });
    const onIPv4 = { backend: "chat@127.0.0.1" };
    await untilMetric(weir.adminUrl, 1, "weir_backend_up", onIPv4);
    const client = await openClient(weir.url);
    expect(await client.ask("hello")).toBe("hello");
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", onIPv4);
    expect((await scrape(weir.adminUrl)).matching("weir_backend_up", { backend: "chat" })).toEqual([]);
  });

  test.for(["first", "all"])(
    "that nobody knows is warned of once, with resolve: %s; the others serve",
    async (resolve) => {
      const backend = await startEchoBackend();
      const weir = await startInFrontOf([{ id: "unknown", url: UNKNOWN, resolve }, backend.url]);
      const { level, fields } = await weir.log.entry("the warning", isWarning);
      expect({ level, ...fields }).toMatchObject({ level: "warn", name: "nobody.invalid" });
      const clients = await Promise.all(Array.from({ length: 10 }, () => openClient(weir.url)));
      for (const client of clients) expect(await client.ask("hello")).toBe("hello");
      expect(weir.log.entries.filter(isWarning)).toHaveLength(1);
      expect((await fetch(`${weir.adminUrl}/readyz`)).status).toBe(200);
    },
  );
});

function isWarning({ message }: { readonly message: string }): boolean {
  return message === "cannot resolve a backend's name";
}
