// A Close that passed through and is never answered: both sockets end after timeouts.close.
import { expect, test } from "vitest";

import { untilMetric } from "../support/metrics.ts";
import { startRelay } from "../support/relay.ts";

test.for([["client"], ["backend"]] as const)("a %s's Close without an answer ends both", async ([by]) => {
  const relay = await startRelay({ yaml: "timeouts: { close: 100ms }" });
  const { client, backend } = await relay.open();
  const [first, second] = by === "client" ? [client, backend] : [backend, client];
  await first.sendClose(4000, "bye");
  expect(await second.nextClose()).toEqual({ code: 4000, reason: "bye" });
  await first.untilPeerState("fin");
  await second.untilPeerState("fin");
  await untilMetric(relay.adminUrl, 1, "weir_closes_total", { code: "4xxx", by, reason: "close" });
  await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
});
