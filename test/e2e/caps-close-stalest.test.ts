// userFull: close-stalest. Dead tabs make room for a user at its cap, live ones do not.
import { describe, expect, test } from "vitest";

import { startLimited } from "../support/limited.ts";
import { setMainClockAhead } from "../support/main-clock.ts";
import { untilMetric } from "../support/metrics.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";

const limits = { tier: { maxConnectionsPerUser: 2, userFull: "close-stalest" } };
const asAnn = upgradeRequest({ lines: ["X-User-Id: ann"] });

describe("a user at its cap", () => {
  test("whose connections are all alive is refused user_full", async () => {
    const weir = await startLimited(limits);
    const pairs = [await weir.open("ann"), await weir.open("ann")];
    expect(await refusalOf(weir.url, asAnn)).toMatchObject({ status: 429, code: "user_full" });
    for (const { client, backend } of pairs) {
      await client.sendText("alive");
      expect(await backend.nextText()).toBe("alive");
    }
  });

  test("gets the place of the connection that has been silent longest, which is closed as replaced", async () => {
    const weir = await startLimited(limits);
    const stalest = await weir.open("ann");
    const other = await weir.open("ann");
    const stranger = await weir.open("bob");
    setMainClockAhead(61_000);
    const opening = weir.open("ann");
    expect(await stalest.client.nextClose()).toEqual({ code: 1008, reason: "replaced" });
    expect(await stalest.backend.nextClose()).toEqual({ code: 1001, reason: "" });
    stalest.client.socket.destroy();
    stalest.backend.socket.destroy();
    const { client, backend } = await opening;
    for (const pair of [{ client, backend }, other, stranger]) {
      await pair.client.sendText("open");
      expect(await pair.backend.nextText()).toBe("open");
    }
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", {
      reason: "replaced",
      by: "weir",
      code: "1008",
    });
    await untilMetric(weir.adminUrl, 3, "weir_connections");
  });

  test("takes the place of a dead tab that answers nothing: it is cut after timeouts.close", async () => {
    const weir = await startLimited({ ...limits, config: { timeouts: { ping: "off", close: "100ms" } } });
    const stalest = await weir.open("ann");
    await weir.open("ann");
    setMainClockAhead(61_000);
    await weir.open("ann");
    expect(await stalest.client.nextClose()).toEqual({ code: 1008, reason: "replaced" });
  });
});
