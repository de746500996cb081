// userFull: close-stalest. Dead tabs make room for a user at its cap, live ones do not.
import { describe, expect, test } from "vitest";

import { startLimited } from "../support/limited.ts";
import { setMainClockAhead } from "../support/main-clock.ts";
import { untilMetric } from "../support/metrics.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import type { RelayedPair } from "../support/relay.ts";
import { until } from "../support/until.ts";

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

describe("a client whose messages are all dropped", () => {
  // What was read counts once the worker thread has looked, every other second. So one user after the other
  // tries, each for longer, until that has happened between the talking and the upgrade that needs a place.
  test("is not silent: another connection of its user makes room", async () => {
    const weir = await startLimited({
      tier: { ...limits.tier, maxConnectionsPerUser: 3, messages: { rate: "1/h", burst: 1 } },
      limits: { onExceed: "drop" },
    });
    let tries = 0;
    const isMuteReplaced = async () => {
      setMainClockAhead(0);
      const user = `user-${++tries}`;
      const [spender, talker, mute] = [await weir.open(user), await weir.open(user), await weir.open(user)];
      await spender.client.sendText("takes the user's only token");
      await spender.backend.nextText();
      for (let sent = 0; sent < 500 * tries; sent++) {
        await talker.client.sendText("dropped");
        await mute.backend.sendText("what the backend says does not count");
        await mute.client.nextText();
      }
      setMainClockAhead(61_000);
      const opening = weir.open(user);
      const pairs = [spender, talker, mute];
      const replaced = await Promise.race(pairs.map((pair) => whenReplaced(pair)));
      for (const { client, backend } of pairs) for (const end of [client, backend]) end.socket.destroy();
      await opening;
      return replaced === mute;
    };
    const what = "the connection that says nothing is replaced";
    await expect(until(what, isMuteReplaced, { deadlineMs: 20_000 })).resolves.toBe(true);
  });
});

/** The pair itself, once its client is told to go; never, if it ends in another way. */
function whenReplaced(pair: RelayedPair): Promise<RelayedPair> {
  const { promise, resolve } = Promise.withResolvers<RelayedPair>();
  pair.client.nextClose().then(
    () => resolve(pair),
    () => {},
  );
  return promise;
}
