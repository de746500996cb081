// The closing handshake through Weir: Close frames pass unchanged, whoever begins, and then both
// sockets end.
import { describe, expect, test } from "vitest";

import { closePayload, opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { type RelayedPair, startRelay } from "../support/relay.ts";

const { close, text, binary, continuation } = opcodes;

/** What a Close may carry, right or wrong, and the code label that it is counted under. */
const payloads = [
  ["nothing", Buffer.alloc(0), "1005"],
  ["1000", closePayload(1000), "1000"],
  ["1001 with a reason", closePayload(1001, "going away"), "1001"],
  ["3001", closePayload(3001, "a registered one"), "3xxx"],
  ["4999 with the longest reason", closePayload(4999, "x".repeat(123)), "4xxx"],
  ["half a code", Buffer.of(0x03), "1005"],
  ["a reason that is not UTF-8", Buffer.of(0x03, 0xe8, 0xff, 0xfe, 0xc0), "1000"],
  ["a code that must not be sent", closePayload(1006, "oops"), "1006"],
] as const;

/** Long enough that no test gets by on it: what ends, ends by the handshake. */
const patient = "timeouts: { close: 60s }";

const sides = [["client"], ["backend"]] as const;

describe("a Close", () => {
  test.for(sides)("passes unchanged, with its answer, when the %s begins", async ([by]) => {
    const relay = await startRelay({ yaml: patient });
    for (const [, payload] of payloads) {
      const pair = await relay.open();
      const { first, second } = inOrder(pair, by);
      const began = first.encode({ opcode: close, payload });
      await first.write(began);
      expect(await second.readBytes(began.length)).toEqual(began);
      const answer = second.encode({ opcode: close, payload });
      await second.write(answer);
      expect(await first.readBytes(answer.length)).toEqual(answer);
      await expectBothToEnd(pair);
    }
    const closes = { pool: "chat", by, reason: "close" };
    await untilMetric(relay.adminUrl, payloads.length, "weir_closes_total", closes);
    for (const [, , code] of payloads) {
      const expected = payloads.filter(([, , other]) => other === code).length;
      await untilMetric(relay.adminUrl, expected, "weir_closes_total", { ...closes, code });
    }
    await untilMetric(relay.adminUrl, 0, "weir_connections");
  });

  test("of each side passes when both begin at once", async () => {
    const relay = await startRelay({ yaml: patient });
    const pair = await relay.open();
    await Promise.all([pair.client.sendClose(4001, "client"), pair.backend.sendClose(4002, "backend")]);
    expect(await pair.client.nextClose()).toEqual({ code: 4002, reason: "backend" });
    expect(await pair.backend.nextClose()).toEqual({ code: 4001, reason: "client" });
    await expectBothToEnd(pair);
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { code: "4xxx", reason: "close" });
  });

  test.for(sides)("that comes byte by byte from the %s passes whole", async ([by]) => {
    const pair = await (await startRelay({ yaml: patient })).open();
    const { first, second } = inOrder(pair, by);
    const frame = first.encode({ opcode: close, payload: closePayload(4000, "slowly") });
    await first.writeByteByByte(frame);
    expect(await second.readBytes(frame.length)).toEqual(frame);
    await second.sendClose(4000, "slowly");
    expect(await first.nextClose()).toEqual({ code: 4000, reason: "slowly" });
    await expectBothToEnd(pair);
  });

  test.for(sides)("of the %s between two fragments of its message passes there", async ([by]) => {
    const pair = await (await startRelay({ yaml: patient })).open();
    const { first, second } = inOrder(pair, by);
    await first.sendFrame({ opcode: text, payload: "unfinished", fin: false });
    await first.sendClose(1001, "leaving");
    expect(await second.nextFrame()).toMatchObject({ opcode: text, fin: false });
    expect(await second.nextClose()).toEqual({ code: 1001, reason: "leaving" });
    await second.sendClose(1001, "leaving");
    await expectBothToEnd(pair);
  });

  test.for(sides)("of the %s with its FIN in the same packet gets its answer", async ([by]) => {
    const pair = await (await startRelay({ yaml: patient })).open();
    const { first, second } = inOrder(pair, by);
    first.socket.end(first.encode({ opcode: close, payload: closePayload(4003, "and gone") }));
    expect(await second.nextClose()).toEqual({ code: 4003, reason: "and gone" });
    await second.sendClose(4003, "and gone");
    expect(await first.nextClose()).toEqual({ code: 4003, reason: "and gone" });
    await expectBothToEnd(pair);
  });
});

describe("after the Close of a side", () => {
  test.for(sides)("nothing more of the %s passes", async ([by]) => {
    const relay = await startRelay({ yaml: patient });
    const pair = await relay.open();
    const { first, second } = inOrder(pair, by);
    const frames = [
      first.encode({ opcode: close, payload: closePayload(1000) }),
      first.encode({ opcode: text, payload: "in the same packet" }),
    ];
    await first.write(Buffer.concat(frames));
    expect(await second.nextClose()).toEqual({ code: 1000, reason: "" });
    await first.sendText("in a packet of its own");
    await first.write(Buffer.alloc(1_000, 0xff));
    await second.sendClose(1000);
    await expectBothToEnd(pair);
    expect(second.buffered).toHaveLength(0);
    const counted = { direction: by === "client" ? "client_to_backend" : "backend_to_client" };
    await untilMetric(relay.adminUrl, 0, "weir_messages_total", counted);
    await untilMetric(relay.adminUrl, frames[0]?.length ?? 0, "weir_bytes_total", counted);
  });

  test.for(sides)("the other one may finish what it was saying, when the %s began", async ([by]) => {
    const pair = await (await startRelay({ yaml: patient })).open();
    const { first, second } = inOrder(pair, by);
    await second.sendFrame({ opcode: binary, payload: Buffer.alloc(100, 1), fin: false });
    await first.sendClose(1000, "enough");
    await second.nextClose();
    await second.sendFrame({ opcode: continuation, payload: Buffer.alloc(100_000, 2) });
    await second.sendText("one more");
    await second.sendClose(1000, "enough");
    expect(await first.nextFrame()).toMatchObject({ opcode: binary, fin: false });
    expect((await first.nextFrame()).payload).toEqual(Buffer.alloc(100_000, 2));
    expect(await first.nextText()).toBe("one more");
    expect(await first.nextClose()).toEqual({ code: 1000, reason: "enough" });
    await expectBothToEnd(pair);
  });
});

describe("after the closing handshake", () => {
  test("Weir ends the client's socket first, and the backend's when the backend does", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    await client.sendClose(1000);
    await backend.nextClose();
    await backend.sendClose(1000);
    await client.nextClose();
    await client.untilPeerState("fin");
    // Asking Weir takes longer than a FIN that is already under way.
    await untilMetric(relay.adminUrl, 1, "weir_backend_connections");
    expect(backend.peerState).toBe("open");
    backend.finish();
    await backend.untilPeerState("fin");
    client.finish();
    await Promise.all([client.untilClosed(), backend.untilClosed()]);
  });

  test("a socket that its peer leaves open is destroyed after timeouts.close", async () => {
    // Within this time of the first Close the other one has to be under way.
    const relay = await startRelay({ yaml: "timeouts: { close: 2s }" });
    const { client, backend } = await relay.open();
    await backend.sendClose(1000);
    expect(await client.nextClose()).toEqual({ code: 1000, reason: "" });
    await client.sendClose(1000);
    expect(await backend.nextClose()).toEqual({ code: 1000, reason: "" });
    // Neither peer ends its half: both see Weir end theirs all the same.
    await client.untilPeerState("fin");
    await backend.untilPeerState("fin");
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { code: "1000", by: "backend" });
  });
});

function inOrder(
  pair: RelayedPair,
  by: "client" | "backend",
): { first: RawConnection; second: RawConnection } {
  return by === "client"
    ? { first: pair.client, second: pair.backend }
    : { first: pair.backend, second: pair.client };
}

/** The backend ends its socket, as a server does after the handshake; the client waits for Weir's end. */
async function expectBothToEnd({ client, backend }: RelayedPair): Promise<void> {
  if (backend.socket.writable) backend.finish();
  await Promise.all([client.untilPeerState("fin"), backend.untilPeerState("fin")]);
  if (client.socket.writable) client.finish();
  expect(await Promise.all([client.untilClosed(), backend.untilClosed()])).toEqual(["fin", "fin"]);
}
