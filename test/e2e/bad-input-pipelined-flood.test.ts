// A request is some thirty bytes, and its answer may take a backend minutes: a client that sends request upon
// request on one socket without reading an answer holds as much of Weir and its backends as it likes.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw } from "../support/raw-client.ts";
import { neverAnswer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

test("more than 100 unanswered requests on a socket cut it off", async () => {
  const slow = await startScriptedBackend(neverAnswer());
  const echo = await startEchoBackend();
  const config = {
    routes: [{ match: { path: "/echo" }, pool: "echo" }, { pool: "chat" }],
    pools: { echo: { healthCheck: "off", backends: [echo.url] } },
  };
  const weir = await startInFrontOf(slow.url, { config });
  const bystander = await openBystander(`${weir.url}/echo`);
  const connection = await connectRaw(weir.url);
  await connection.write(GET.repeat(2_000)).catch(() => {});
  await connection.untilClosed();
  const { fields } = await weir.log.entry("the flood", ({ fields }) => fields["code"] === "bad_request");
  expect(fields["reason"]).toBe("more than 100 requests wait for their answers");
  expect(weir.log.entries.filter(({ fields }) => fields["code"] === "bad_request")).toHaveLength(1);
  expect(slow.connections.length).toBeLessThanOrEqual(100);
  await bystander.expectUnharmed();
});

test("a hundred at once are all answered, in their order, as often as one likes", async () => {
  const echo = await startEchoBackend();
  const weir = await startInFrontOf(echo.url);
  const connection = await connectRaw(weir.url);
  for (let round = 0; round < 3; round += 1) {
    const paths = Array.from({ length: 100 }, (_, i) => `/${round}-${i}`);
    await connection.write(paths.map((path) => GET.replace("/", path)).join(""));
    const answered: string[] = [];
    for (const _ of paths) {
      const head = await connection.readHead();
      expect(head.status).toBe(200);
      const body = await connection.readBytes(Number(head.header("content-length")));
      answered.push(JSON.parse(body.toString()).url);
    }
    expect(answered).toEqual(paths);
  }
});
