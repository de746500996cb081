// An upgrade hidden where no upgrade can be: in the body of a plain request. A proxy that looks for
// `Upgrade: websocket` in the wrong bytes opens a tunnel through which the rest of the body reaches the
// backend as requests that no rule has seen.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
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

// A plain request whose header names provoke the backend into switching protocols: there is no tunnel on
// the client's side, so the answer is one of a backend that failed.
test("a 101 that nobody asked for is answered 502, and its socket is closed", async () => {
  const backend = await startScriptedBackend(accept());
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(upgradeRequest({ omit: ["Connection"] }));
  const head = await connection.readHead();
  expect(head.status).toBe(502);
  expect((await connection.readToEnd()).toString()).toContain("backend_failed");
  await (await backend.connection(0)).untilClosed();
  const { level } = await weir.log.entry("the failure", ({ fields }) => fields["code"] === "backend_failed");
  expect(level).toBe("warn");
});
