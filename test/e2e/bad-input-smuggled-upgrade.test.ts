// An upgrade hidden where no upgrade can be: in the body of a plain request. A proxy that looks for
// `Upgrade: websocket` in the wrong bytes opens a tunnel through which the rest of the body reaches the
// backend as requests that no rule has seen.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const hidden = upgradeRequest({ path: "/hidden" });

test.for([
  ["Content-Length", `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`],
  [
    "chunks",
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
  ],
] as const)("an upgrade in a body by %s is a body", async ([, bytes]) => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write(bytes);
  expect((await connection.readHead()).status).toBe(200);
  expect(backend.requests.map(({ url, body }) => [url, body])).toEqual([["/", hidden]]);
  expect(backend.upgrades).toHaveLength(1);
  await bystander.expectUnharmed();
});

// A plain request that provokes the backend into switching protocols, or a backend that does so by itself: there
// is no tunnel on the client's side, so the answer is one of a backend that failed.
test.for([
  ["an upgrade without its Connection", upgradeRequest({ omit: ["Connection"] })],
  [
    "an upgrade to h2c",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
  ],
  ["no upgrade at all", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
] as const)("a 101 to %s is answered 502, and its socket is closed", async ([, bytes]) => {
  const backend = await startScriptedBackend(async (connection) => {
    // The second request may be given up before it has come here whole.
    if ((await connection.readHead().catch(() => null)) === null) return;
    const lines = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"];
    await connection.write(
      `HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`,
    );
  });
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(bytes);
  await connection.write("POST /hidden HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const head = await connection.readHead();
  expect(head.status).toBe(502);
  expect((await connection.readBytes(Number(head.header("content-length")))).toString()).toContain(
    "backend_failed",
  );
  const first = await backend.connection(0);
  await first.untilClosed();
  expect(first.buffered.toString()).not.toContain("hidden");
  const { level } = await weir.log.entry("the failure", ({ fields }) => fields["code"] === "backend_failed");
  expect(level).toBe("warn");
});
