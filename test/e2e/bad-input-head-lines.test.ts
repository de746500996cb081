// Node keeps the first lines of a long head and drops the rest without a word, after its parser has acted on
// all of them: a Host, a length or a token could be there for one server and not for the next. A head of more
// lines than any client sends is refused instead.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals } from "../support/refusal.ts";
import { answer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

function lines(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `x${i}: ${i}`);
}

function request(more: readonly string[]): string {
  return ["POST / HTTP/1.1", "Host: a", ...more, "", ""].join("\r\n");
}

test("a head of more than 256 lines is answered 431, and reaches no backend", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: { limits: { maxHeaderSize: "256KiB" } } });
  const bystander = await openBystander(weir.url);
  await expectRefusals(
    weir,
    {
      "a request": request(lines(256)),
      "an upgrade": upgradeRequest({ lines: lines(252) }),
      "a request whose length is out of sight": `${request([...lines(1_500), "Content-Length: 5"])}hello`,
      "chunks that are out of sight": `${request([...lines(1_500), "Transfer-Encoding: chunked"])}0\r\n\r\n`,
      "a token that is out of sight": request([...lines(5_000), "Authorization: Bearer x"]),
      "one name ever again": request(Array<string>(3_000).fill("Cookie: a")),
      "an upgrade that is out of sight": upgradeRequest({ lines: lines(3_000) }).replace(
        /(Upgrade: websocket\r\nConnection: Upgrade\r\n)([^]*)\r\n\r\n$/,
        "$2\r\n$1\r\n",
      ),
    },
    { status: 431, code: "head_too_large" },
  );
  expect(backend.requests).toEqual([]);
  expect(backend.upgrades).toHaveLength(1);
  await bystander.expectUnharmed();
});

test("a head of 256 lines passes with all of them", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(request(lines(254).concat("Connection: close")));
  expect((await connection.readHead()).status).toBe(200);
  await openRaw(weir.url, { lines: lines(251) });
  for (const seen of [backend.requests[0], backend.upgrades[0]]) {
    expect([seen?.headers["x0"], seen?.headers["x250"]]).toEqual(["0", "250"]);
  }
});

test("a backend's answer of more lines than are kept is one of a backend that failed", async () => {
  const many = lines(1_500).map((line) => `X-${line}`);
  const backend = await startScriptedBackend(answer({ status: 403, body: "no", lines: many }));
  const config = { limits: { maxHeaderSize: "256KiB" } };
  const weir = await startInFrontOf(backend.url, { config, pool: { retries: 0 } });
  await expect(openRaw(weir.url)).rejects.toThrow(/502/);
});
