// Many clients that connect at once, as after a restart of what stands in front, wait until they are accepted: one
// for whom there is no room in the queue would try again only a second later.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { openClient } from "../support/ws-client.ts";

const CLIENTS = 1_500;

function systemAllows(clients: number): boolean {
  try {
    return Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8")) > clients;
  } catch {
    return false;
  }
}

test.skipIf(!systemAllows(CLIENTS))(
  "over a thousand clients connect while no thread accepts any",
  async () => {
    const backend = await startEchoBackend();
    const weir = await spawnWeir(
      JSON.stringify({
        threads: 1,
        listeners: ["127.0.0.1:0"],
        admin: "off",
        pools: { chat: { backends: [backend.url], healthCheck: "off" } },
      }),
    );
    weir.signal("SIGSTOP");
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectRaw(weir.httpUrl)));
    weir.signal("SIGCONT");
    expect(clients).toHaveLength(CLIENTS);
    const client = await openClient(weir.url);
    expect(await client.ask("hello")).toBe("hello");
  },
);
