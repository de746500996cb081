// Slowloris: a client that sends its head byte by byte, or not at all, holds a socket for nothing. A
// thousand such clients starve a server that waits for each. `timeouts.handshake` bounds the whole head,
// however busily its bytes trickle.
import { expect, onTestFinished, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { readRefusal } from "../support/refusal.ts";
import { reloadInFrontOf, startInFrontOf, timeouts } from "../support/start-in-front.ts";
import { untilEqual } from "../support/until.ts";

/** Taken over once all that has to be in time is over. */
const config = timeouts({ handshake: "200ms" });
const tooSlow = { status: 408, code: "head_timeout" };

test("a head that is not whole within timeouts.handshake is answered 408", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  await reloadInFrontOf(weir, backend.url, { config });
  const silent = await connectRaw(weir.url);
  const stuck = await connectRaw(weir.url);
  await stuck.write("GET / HTTP/1.1\r\nHost: localhost\r\nUpgra");
  const trickling = await connectRaw(weir.url);
  trickle(trickling, upgradeRequest({ lines: [`X: ${"a".repeat(10_000)}`] }));
  for (const connection of [silent, stuck, trickling]) {
    const refusal = await readRefusal(connection);
    expect(refusal).toMatchObject(tooSlow);
    expect(refusal.head.header("connection")).toBe("close");
  }
  const logged = () => weir.log.entries.filter(({ fields }) => fields["code"] === "head_timeout");
  await untilEqual("the number of slow heads logged", 3, () => logged().length);
  expect(backend.upgrades).toHaveLength(1);
  await bystander.expectUnharmed();
});

test("the second head on a socket has its own time", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const head = await connection.readHead();
  await connection.readBytes(Number(head.header("content-length") ?? "1"));
  await reloadInFrontOf(weir, backend.url, { config });
  await connection.write("GET / HTTP/1.1\r\nHo");
  expect(await readRefusal(connection)).toMatchObject(tooSlow);
});

/** One byte every few milliseconds, until the peer ends the connection: the attack itself. */
function trickle(connection: RawConnection, text: string): void {
  const bytes = Buffer.from(text).values();
  const timer = setInterval(() => {
    const next = bytes.next();
    if (next.done || connection.peerState !== "open") clearInterval(timer);
    else connection.socket.write(Buffer.of(next.value));
  }, 5);
  onTestFinished(() => clearInterval(timer));
}
