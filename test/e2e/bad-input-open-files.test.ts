// Each socket is a file to the system, and a process may have so many of them. Clients that open sockets and
// say nothing can take all that are left; what then cannot be opened must end no more than its own attempt.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const OPEN_FILES = 150;

test("silent clients that take every file end nothing, and Weir serves on once they are cut", async () => {
  const backend = await startEchoBackend();
  const weir = await spawnWeir(
    JSON.stringify({
      threads: 1,
      listeners: ["127.0.0.1:0"],
      admin: "off",
      timeouts: { handshake: "3s" },
      // Two connections of two make its health worse, which is told while no file can be opened.
      limits: { maxConnections: 2 },
      pools: { chat: { backends: [backend.url], healthCheck: { type: "tcp", interval: "100ms" } } },
    }),
    { openFiles: OPEN_FILES },
  );
  const early = await openClient(weir.url);
  const leaving = await openClient(weir.url);
  const silent: RawConnection[] = [];
  for (let i = 0; i < 2 * OPEN_FILES; i += 1) silent.push(await connectRaw(weir.url));
  await until("a socket that found no place", () => silent.some(({ peerState }) => peerState !== "open"));
  expect(await early.ask("still there?")).toBe("still there?");
  // Longer than the intervals at which Weir looks at its backends and at itself.
  await weir.untilPrinted(/head_timeout/);
  expect(await early.ask("and now?")).toBe("and now?");
  await leaving.close(1000);
  for (const { socket } of silent) socket.destroy();
  const late = await until("a new client", () => openClient(weir.url).catch(() => null));
  expect(await late.ask("me too")).toBe("me too");
});
