// Desynchronisation by pipelining: an upgrade sent while an earlier request on the socket is unanswered.
// Node hands it over at once; were it let through, the late answer would land inside the tunnel, where
// the client takes it for frames (and a shared front proxy, for the next client's answer).
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { readRefusal } from "../support/refusal.ts";
import { acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { startInFrontOf, timeouts } from "../support/start-in-front.ts";

const plain = "GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n";
const refused = { status: 400, code: "bad_upgrade", message: "an earlier request was not answered yet" };

/** Answers plain requests with a body of this size once `goAhead` resolves. */
async function startSlowBackend(goAhead: Promise<void>, bodyBytes: number) {
  return startScriptedBackend(async (connection) => {
    await connection.readHead();
    await goAhead;
    await connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bodyBytes}\r\n\r\n`);
    await connection.write(Buffer.alloc(bodyBytes, "x"));
  });
}

async function expectAnswer(connection: RawConnection, bodyBytes: number): Promise<void> {
  expect((await connection.readHead()).status).toBe(200);
  expect((await connection.readBytes(bodyBytes)).every((byte) => byte === 0x78)).toBe(true);
}

// The larger body fills every buffer on its way: it arrives only if the answer still hears of the drain
// of a socket that Node has let go of.
test.for([5, 16 * 1024 * 1024])(
  "an upgrade behind an unanswered request is refused once that answer of %i bytes is out",
  async (bodyBytes) => {
    const goAhead = Promise.withResolvers<void>();
    const backend = await startSlowBackend(goAhead.promise, bodyBytes);
    const echo = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: {
        pools: { echo: { backends: [echo.url] } },
        routes: [{ match: { path: "/plain" }, pool: "chat" }, { pool: "echo" }],
      },
    });
    const bystander = await openBystander(weir.url);
    const connection = await connectRaw(weir.url);
    connection.pause();
    await connection.write(plain + upgradeRequest());
    await (await backend.connection(0)).untilReceivedBytes(1);
    goAhead.resolve();
    connection.resume();
    await expectAnswer(connection, bodyBytes);
    expect(await readRefusal(connection)).toMatchObject(refused);
    const { level } = await weir.log.entry("the refusal", ({ fields }) => fields["code"] === "bad_upgrade");
    expect(level).toBe("info");
    expect(echo.upgrades).toHaveLength(1);
    await bystander.expectUnharmed();
  },
);

test("an upgrade behind several unanswered requests waits for all of their answers", async () => {
  const goAhead = Promise.withResolvers<void>();
  const bodyBytes = 4 * 1024 * 1024;
  const backend = await startSlowBackend(goAhead.promise, bodyBytes);
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(plain + plain + upgradeRequest());
  await (await backend.connection(1)).untilReceivedBytes(1);
  goAhead.resolve();
  await expectAnswer(connection, bodyBytes);
  await expectAnswer(connection, bodyBytes);
  expect(await readRefusal(connection)).toMatchObject(refused);
});

test("a client that leaves between its request and its upgrade's refusal leaves nothing behind", async () => {
  const backend = await startSlowBackend(new Promise(() => {}), 0);
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(plain + upgradeRequest());
  const backendEnd = await backend.connection(0);
  await backendEnd.untilReceivedBytes(1);
  connection.reset();
  expect(await backendEnd.untilClosed()).not.toBe("open");
});

test("a tunnel behind an unanswered request waits for that answer too", async () => {
  const goAhead = Promise.withResolvers<void>();
  const backend = await startSlowBackend(goAhead.promise, 5);
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write(`${plain}CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n`);
  await (await backend.connection(0)).untilReceivedBytes(1);
  goAhead.resolve();
  await expectAnswer(connection, 5);
  expect(await readRefusal(connection)).toMatchObject({ status: 400, code: "bad_request" });
});

test("an upgrade behind answered requests on the same socket goes through", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  for (let i = 0; i < 3; i++) {
    await connection.write(plain);
    const head = await connection.readHead();
    await connection.readBytes(Number(head.header("content-length")));
  }
  await connection.write(upgradeRequest());
  expect((await connection.readHead()).status).toBe(101);
  await connection.sendText("hello");
  expect(await connection.nextText()).toBe("hello");
});

// The other way round: bytes behind an upgrade are frames, whatever they look like.
test("a request behind an upgrade is never read as a request", async () => {
  const backend = await startScriptedBackend(async (connection) => {
    await acceptUpgrade(connection);
  });
  const weir = await startInFrontOf(backend.url, { config: timeouts({ close: "100ms" }) });
  const { connection } = await openRaw(weir.url);
  await connection.write(plain);
  expect((await connection.nextClose()).code).toBe(1002);
  const backendEnd = await backend.connection(0);
  await backendEnd.untilPeerState("fin");
  expect(backendEnd.buffered.toString("latin1")).not.toContain("GET /plain");
});
