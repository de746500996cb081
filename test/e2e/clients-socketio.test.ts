// Socket.IO through Weir, over WebSocket alone and with its long-polling beginnings.
import { expect, test } from "vitest";

import { scrape, untilMetric } from "../support/metrics.ts";
import { ask, connectSocketIo, nameOf, startSocketIoServer, untilUpgraded } from "../support/socketio.ts";
import { startWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";

/** The smallest file, with free ports. */
function yaml(backends: readonly { readonly url: string }[]): string {
  return `
listeners: ["127.0.0.1:0"]
pools:
  chat: { backends: ${JSON.stringify(backends.map(({ url }) => url))} }
admin: { bind: "127.0.0.1:0" }
`;
}

test("Socket.IO over WebSocket is spread over two servers by the smallest file", async () => {
  const backends = [await startSocketIoServer("first"), await startSocketIoServer("second")];
  const { httpUrl } = await startWeir(yaml(backends));
  const sockets = await Promise.all(
    [1, 2, 3, 4].map((i) =>
      connectSocketIo(httpUrl, {
        transports: ["websocket"],
        upgrade: false,
        // One client each, as the proxy on this machine tells it.
        extraHeaders: { "X-Forwarded-For": `192.0.2.${i}` },
      }),
    ),
  );
  const names = await Promise.all(sockets.map(nameOf));
  expect(names.toSorted()).toEqual(["first", "first", "second", "second"]);
  for (const socket of sockets) {
    expect(await ask(socket, "echo", "text", { nested: [1, 2] })).toEqual(["text", { nested: [1, 2] }]);
    expect(await ask(socket, "echo", Buffer.alloc(100_000, 1))).toEqual([Buffer.alloc(100_000, 1)]);
  }
});

test("Socket.IO begins with polling and upgrades to WebSocket", async () => {
  const { httpUrl, adminUrl } = await startWeir(yaml([await startSocketIoServer("only")]));
  const socket = await connectSocketIo(httpUrl);
  expect(await ask(socket, "who")).toBe("only");
  await untilUpgraded(socket);
  expect(await ask(socket, "echo", "after the upgrade")).toEqual(["after the upgrade"]);
  await untilMetric(adminUrl, 1, "weir_upgrades_total", { result: "ok" });
  await until("the requests before are counted", async () => {
    const metrics = await scrape(adminUrl);
    return metrics.sum("weir_http_requests_total", { pool: "chat", code: "200" }) > 1;
  });
});

test("Socket.IO stays with polling where it is told to", async () => {
  const { httpUrl } = await startWeir(yaml([await startSocketIoServer("only")]));
  const socket = await connectSocketIo(httpUrl, { transports: ["polling"] });
  expect(await ask(socket, "echo", "by polling")).toEqual(["by polling"]);
  expect(socket.io.engine.transport.name).toBe("polling");
});

test("Socket.IO connects again when its server is gone and another one is there", async () => {
  const first = await startSocketIoServer("first");
  const { httpUrl } = await startWeir(yaml([first, await startSocketIoServer("second")]));
  const options = { transports: ["websocket"], reconnectionDelay: 1 };
  const sockets = await Promise.all([connectSocketIo(httpUrl, options), connectSocketIo(httpUrl, options)]);
  await first.stop();
  await until("both are served by the second", async () => {
    const connected = sockets.filter((socket) => socket.connected);
    const names = await Promise.all(connected.map(nameOf));
    return names.join() === "second,second";
  });
  expect(await ask(sockets[0], "echo", "again")).toEqual(["again"]);
});
