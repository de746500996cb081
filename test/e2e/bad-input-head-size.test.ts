// Memory exhaustion by heads: a client that may send header bytes without end makes the server hold them
// all. `limits.maxHeaderSize` bounds what one connection can make Weir keep; above it, 431.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals, readRefusal } from "../support/refusal.ts";
import { answer, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const tooLarge = { status: 431, code: "head_too_large" };

function request(lines: readonly string[]): string {
  return ["GET / HTTP/1.1", "Host: a", ...lines, "", ""].join("\r\n");
}

test("a head above limits.maxHeaderSize is answered 431, whatever in it is large", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: { limits: { maxHeaderSize: "4KiB" } } });
  const bystander = await openBystander(weir.url);
  await expectRefusals(
    weir,
    {
      "one large value": request([`X: ${"a".repeat(5_000)}`]),
      "one large name": request([`${"a".repeat(5_000)}: 1`]),
      "many small lines": request(Array.from({ length: 1_000 }, (_, i) => `X-${i}: 1`)),
      "a large path": `GET /${"a".repeat(5_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      "a head that does not end": `GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(5_000)}`,
      "a line that does not end": `GET /${"a".repeat(5_000)}`,
      "an upgrade": upgradeRequest({ lines: [`X: ${"a".repeat(5_000)}`] }),
      "the trailers of a body": `${request(["Transfer-Encoding: chunked"])}0\r\nX: ${"a".repeat(5_000)}\r\n\r\n`,
    },
    tooLarge,
  );
  expect(backend.upgrades).toHaveLength(1);
  await bystander.expectUnharmed();
});

test("a client that goes on sending header bytes is cut off", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write(`GET / HTTP/1.1\r\nX: ${"a".repeat(64 * 1024)}`);
  expect(await readRefusal(connection)).toMatchObject(tooLarge);
  expect(await connection.untilClosed()).toBe("fin");
  await bystander.expectUnharmed();
});

test("a head that fits passes, large cookies and all", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, { config: { limits: { maxHeaderSize: "8KiB" } } });
  const cookie = `c=${"a".repeat(7_000)}`;
  const { connection } = await openRaw(weir.url, { lines: [`Cookie: ${cookie}`] });
  await connection.sendText("hello");
  expect(await connection.nextText()).toBe("hello");
  expect(backend.upgrades[0]?.headers.cookie).toBe(cookie);
});

test("a backend's head above the limit is a failure of the backend", async () => {
  const backend = await startScriptedBackend(
    answer({ status: 200, lines: [`X: ${"a".repeat(20_000)}`], body: "hello" }),
  );
  const weir = await startInFrontOf(backend.url, { pool: { retries: 0 } });
  const connection = await connectRaw(weir.url);
  await connection.write(upgradeRequest());
  expect(await readRefusal(connection)).toMatchObject({ status: 502, code: "backend_failed" });
});
