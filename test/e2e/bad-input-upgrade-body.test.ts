// Smuggling through an upgrade: a GET with `Upgrade: websocket` and a body. A proxy that tunnels at once
// takes the body for frames, one that forwards it may take what follows the body for a request of its
// own. Node has its own way: while a body is still coming it hands out a stand-in for the socket, which
// is no socket at all; code that takes it for one crashes, with every connection of its thread.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals, readRefusal } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
const byLength = upgradeRequest({ lines: [`Content-Length: ${smuggled.length}`] });
const byChunks = upgradeRequest({ lines: ["Transfer-Encoding: chunked"] });
const size = smuggled.length.toString(16);

const attacks = {
  "a body by Content-Length": byLength + smuggled,
  "a body by Transfer-Encoding": `${byChunks}${size}\r\n${smuggled}\r\n0\r\n\r\n`,
  "a body of a POST": (byLength + smuggled).replace("GET", "POST"),
  "a body that is another upgrade": `${byLength}${upgradeRequest().padEnd(smuggled.length)}`,
  "a body that is still to come": byLength,
  "half a body": byLength + smuggled.slice(0, 10),
  "a chunk that is still to come": byChunks,
  "half a chunk": `${byChunks}${size}\r\n${smuggled.slice(0, 10)}`,
  "an empty chunked body": `${byChunks}0\r\n\r\n`,
  "a chunk that is none": `${byChunks}zz\r\n`,
};

test("an upgrade with a body is refused, and nothing of the body is read as anything else", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  await expectRefusals(weir, attacks, { status: 400, code: "bad_upgrade" });
  expect(backend.upgrades).toHaveLength(1);
  expect(backend.requests).toEqual([]);
  expect(weir.weir.workers.restarts).toBe(0);
  await bystander.expectUnharmed();
});

test("an upgrade whose body comes after the refusal is still refused once", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url, { allowHalfOpen: true });
  await connection.write(byLength);
  expect(await readRefusal(connection)).toMatchObject({ status: 400, code: "bad_upgrade" });
  await connection.write(smuggled + smuggled);
  connection.finish();
  await connection.untilClosed();
  expect(backend.requests).toEqual([]);
  await bystander.expectUnharmed();
});

test("an upgrade with a body whose client resets its socket crashes nothing", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  const connection = await connectRaw(weir.url);
  await connection.write(byLength);
  connection.reset();
  await weir.log.entry("the refusal", ({ fields }) => fields["code"] === "bad_upgrade");
  await bystander.expectUnharmed();
  expect(weir.weir.workers.restarts).toBe(0);
});
