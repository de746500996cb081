// A takeover under a stream of connects: where the kernel hands over what waits in the old process's accept
// queues, not one of them fails. Weir says whether it does.
import { describe, expect, test } from "vitest";

import { setForTest, settable } from "../support/kernel-setting.ts";
import { isMissing } from "../support/requirement.ts";
import { ConnectStream, setUpTakeover } from "../support/takeover.ts";

const setting = "net.ipv4.tcp_migrate_req";
const required = settable(setting);

describe("under a stream of connects", () => {
  test.skipIf(isMissing(required))("no connect fails with tcp_migrate_req on", async () => {
    setForTest(setting, "1");
    const { start, takeOver } = await setUpTakeover({
      threads: 2,
      timeouts: { ping: "off", close: "200ms" },
    });
    const first = await start();
    const stream = new ConnectStream(first.url, 16);
    let running = first;
    for (let round = 0; round < 3; round += 1) {
      const next = await takeOver(running);
      expect(await running.exited()).toEqual({ code: 0, signal: null });
      await next.untilPrinted(/no connect will be lost to the takeover: net\.ipv4\.tcp_migrate_req is on/);
      running = next;
    }
    await stream.stop();
    expect(stream.failures).toEqual([]);
    expect(stream.opened).toBeGreaterThan(100);
  });

  test.skipIf(isMissing(required))("Weir says how none would fail where it is off", async () => {
    setForTest(setting, "0");
    const { start, takeOver } = await setUpTakeover();
    const old = await start();
    const young = await takeOver(old);
    const [line] = await young.untilPrinted(/^.*"fix":"sysctl -w net.ipv4.tcp_migrate_req=1".*$/m);
    expect(line).toContain('"level":"warn"');
  });
});
