// When the results of active checks change a backend's state: answers are given one by one, so that
// nothing hangs on time.
import { describe, expect, test } from "vitest";

import { type HealthAnswer, type HealthEndpoint, startChecked } from "../support/health-endpoint.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { reasonOf, stateChanges } from "../support/state-changes.ts";
import { untilEqual } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

async function isUp({ adminUrl }: StartedWeir): Promise<boolean> {
  return (await scrape(adminUrl)).sum("weir_backend_up", { backend: "a" }) === 1;
}

async function readiness({ adminUrl }: StartedWeir): Promise<number> {
  return (await fetch(`${adminUrl}/readyz`)).status;
}

/** Whether `a` is up (`+`) or down (`-`) after each of these answers. */
async function course(
  weir: StartedWeir,
  endpoint: HealthEndpoint,
  answers: readonly HealthAnswer[],
): Promise<string> {
  let ups = "";
  for (const answer of answers) {
    await endpoint.answer(answer);
    ups += (await isUp(weir)) ? "+" : "-";
  }
  return ups;
}

describe("the first result alone decides", () => {
  const healthCheck = { healthyAfter: 1_000, unhealthyAfter: 1_000 };

  test("until it is there the backend is up, and Weir is not ready", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck });
    await endpoint.check();
    expect([await isUp(weir), await readiness(weir)]).toEqual([true, 503]);
    const served = [await openClient(weir.url), await openClient(weir.url)];
    expect(served.map(({ backendId }) => backendId).toSorted()).toEqual(["a", "b"]);
    await endpoint.answer(200);
    await untilEqual("readyz", 200, () => readiness(weir));
    expect(await isUp(weir)).toBe(true);
    expect(stateChanges(weir)).toEqual([]);
  });

  test("a bad one, whatever unhealthyAfter says", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck });
    await endpoint.answer(503);
    await untilEqual("readyz", 200, () => readiness(weir));
    expect(await isUp(weir)).toBe(false);
    await endpoint.answer(200, 200, 200, 503, 503);
    expect(await isUp(weir)).toBe(false);
    expect(stateChanges(weir)).toEqual(["a: backend down"]);
  });

  test("a good one, whatever healthyAfter says", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck });
    await endpoint.answer(200, 503, 503, 503);
    expect(await isUp(weir)).toBe(true);
    expect(stateChanges(weir)).toEqual([]);
  });
});

describe("after it the thresholds decide", () => {
  const healthCheck = { healthyAfter: 2, unhealthyAfter: 3 };

  test("so many in a row, and anything that is no good answer counts alike", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck });
    const answers = [200, 500, "garbage", "reset", 200, 404, 200, 200, 503, 503, 200, 503, 503, 503] as const;
    expect(await course(weir, endpoint, answers)).toBe("+++----++++++-");
    expect(stateChanges(weir)).toEqual(["a: backend down", "a: backend up", "a: backend down"]);
    expect(await reasonOf(weir, "backend up", "a")).toBe("its health check passes");
    const downs = weir.log.entries.filter(({ message }) => message === "backend down");
    expect(downs.map(({ level, fields }) => [level, fields["pool"]])).toEqual([
      ["warn", "chat"],
      ["warn", "chat"],
    ]);
    // The last of the failures, which is the one that decided.
    expect(downs[1]?.fields["reason"]).toBe("answered 503, expected 200-399");
  });

  test("an endpoint that flaps changes nothing, is not logged, and costs nobody a connection", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck, pool: { onUnhealthy: "close" } });
    const clients = [await openClient(weir.url), await openClient(weir.url)];
    const flapping = Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 200 : 500));
    expect(await course(weir, endpoint, flapping)).toBe("+".repeat(12));
    for (const client of clients) expect(await client.ask("still here")).toBe("still here");
    expect(stateChanges(weir)).toEqual([]);
  });

  test("a backend that is down gets no upgrade, and its next one as soon as it is up", async () => {
    const { weir, endpoint } = await startChecked({ healthCheck });
    await endpoint.answer(503);
    for (let i = 0; i < 5; i += 1) expect((await openClient(weir.url)).backendId).toBe("b");
    await endpoint.answer(200);
    expect((await openClient(weir.url)).backendId).toBe("b");
    await endpoint.answer(200);
    expect((await openClient(weir.url)).backendId).toBe("a");
    await untilMetric(weir.adminUrl, 0, "weir_dial_retries_total");
  });
});
