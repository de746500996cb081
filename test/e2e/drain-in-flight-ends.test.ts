// A connection that a shutdown waits for, as a message is in flight on it, is open like any other: who leaves it,
// breaks it or is sent away meanwhile ends it at once, and for its own reason.
import { expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { ask } from "../support/http-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { type Relay, startRelay } from "../support/relay.ts";

const { text, binary, continuation, ping } = opcodes;

const patient = "timeouts: { close: 60s, ping: off }\nshutdown: { spread: 0s, timeout: 2m }";

test("a backend that has ended its side in the middle of a frame gets nothing behind what came of it", async () => {
  const { client, backend, drained } = await startWaiting({}, async (sides) => {
    const frame = sides.client.encode({ opcode: binary, payload: Buffer.alloc(100, 7) });
    await sides.client.write(frame.subarray(0, frame.length - 4));
    await sides.backend.readBytes(frame.length - 4);
  });
  backend.finish();
  expect(await client.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
  await backend.untilPeerState("fin");
  expect(backend.buffered).toHaveLength(0);
  await client.sendClose(1012);
  client.finish();
  await drained;
});

test("a client that closes and is gone while messages of both sides are in flight: the backend gets its Close", async () => {
  const { client, backend, drained } = await startWaiting({}, async (sides) => {
    await begin(sides.client, sides.backend);
    await begin(sides.backend, sides.client);
  });
  await client.sendClose(1000);
  client.socket.destroy();
  expect((await backend.nextClose()).code).toBe(1001);
  await backend.sendClose(1001);
  backend.finish();
  await drained;
});

test("a client that an administrator closes gets its Close", async () => {
  const { relay, client, backend, drained } = await startWaiting({}, (sides) =>
    begin(sides.client, sides.backend),
  );
  const url = `${relay.adminUrl}/api/users/ip:127.0.0.1/connections`;
  expect((await ask(url, { method: "DELETE" })).status).toBe(200);
  expect(await client.nextClose()).toEqual({ code: 1008, reason: "closed by administrator" });
  await client.sendFrame({ opcode: continuation, payload: "two" });
  expect(await backend.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
  expect((await backend.nextClose()).code).toBe(1001);
  await leave(client, backend);
  await drained;
});

test("a flood of control frames on the way that has nothing in flight ends it", async () => {
  const { client, backend, drained } = await startWaiting(
    { yaml: `${patient}\nlimits: { controlFrames: { rate: 1/h, burst: 1 } }` },
    (sides) => begin(sides.backend, sides.client),
  );
  await client.write(Buffer.concat([client.encode({ opcode: ping }), client.encode({ opcode: ping })]));
  await backend.sendFrame({ opcode: continuation, payload: "two" });
  expect(await client.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
  expect(await client.nextClose()).toEqual({ code: 1008, reason: "control frame flood" });
  await leave(client, backend);
  await drained;
});

test("a client that breaks the protocol is told so", async () => {
  const { client, backend, drained } = await startWaiting({}, (sides) => begin(sides.backend, sides.client));
  await client.sendFrame({ opcode: continuation, payload: "of nothing" });
  await backend.sendFrame({ opcode: continuation, payload: "two" });
  expect(await client.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
  expect(await client.nextClose()).toEqual({ code: 1002, reason: "protocol error" });
  expect((await backend.nextClose()).code).toBe(1001);
  await leave(client, backend);
  await drained;
});

test("a peer that is silent in the middle of its message is cut once it is idle", async () => {
  const { client, backend, drained } = await startWaiting(
    { yaml: "timeouts: { close: 100ms, ping: off, idle: 300ms }\nshutdown: { spread: 0s, timeout: 2m }" },
    (sides) => begin(sides.client, sides.backend),
  );
  expect(await client.nextClose()).toEqual({ code: 1001, reason: "idle timeout" });
  await drained;
  expect(backend.buffered).toHaveLength(0);
});

test("`draining: none` cuts a client behind its message, and waits for it no longer than `timeouts.close`", async () => {
  const { client, backend, drained } = await startWaiting(
    {
      yaml: `timeouts: { close: 100ms, ping: off }
shutdown: { spread: 0s, timeout: 2m }
routes: [{ pool: chat, closeCodes: { draining: none } }]`,
    },
    (sides) => begin(sides.backend, sides.client),
  );
  await backend.sendFrame({ opcode: continuation, payload: "two" });
  expect(await client.nextFrame()).toMatchObject({ opcode: continuation, fin: true });
  await client.untilPeerState("fin");
  // Neither side does anything any more.
  await drained;
  expect(client.buffered).toHaveLength(0);
});

interface Sides {
  readonly client: RawConnection;
  readonly backend: RawConnection;
}

/** Sends the first frame of a message. */
async function begin(sender: RawConnection, receiver: RawConnection): Promise<void> {
  await sender.sendFrame({ opcode: text, fin: false, payload: "one " });
  expect(await receiver.nextFrame()).toMatchObject({ opcode: text, fin: false });
}

async function leave(...sides: RawConnection[]): Promise<void> {
  await Promise.all(sides.map((side) => side.sendClose(1001)));
  for (const side of sides) side.finish();
}

/** A connection that the shutdown has come to, and waits for. */
async function startWaiting(
  { yaml = patient }: { readonly yaml?: string },
  prepare: (sides: Sides) => Promise<void>,
): Promise<Sides & { readonly relay: Relay; readonly drained: Promise<void> }> {
  const relay = await startRelay({ yaml });
  const sides = await relay.open();
  const bystander = await relay.open();
  await prepare(sides);
  const drained = relay.weir.drain();
  // All of a thread's are visited at once: `spread` is 0.
  await (yaml.includes("none") ? bystander.client.untilPeerState("fin") : bystander.client.nextClose());
  for (const { socket } of [bystander.client, bystander.backend]) socket.destroy();
  return { ...sides, relay, drained };
}
