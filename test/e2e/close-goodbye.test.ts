// Weir's own goodbyes: the codes that `closeCodes` puts in their place, and peers that do not answer.
import { describe, expect, test } from "vitest";

import { opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { type RelayedPair, startRelay } from "../support/relay.ts";
import { until } from "../support/until.ts";

const { binary } = opcodes;

/** Ways to make Weir say goodbye, by the reason that it then has. */
const provocations: Readonly<Record<string, (pair: RelayedPair) => Promise<void> | void>> = {
  backend_lost: ({ backend }) => backend.reset(),
  protocol_error: ({ client }) => client.sendFrame({ opcode: 0x3 }),
  backend_protocol_error: ({ backend }) => backend.sendFrame({ opcode: 0x3 }),
  too_big: ({ client }) => client.sendFrame({ opcode: binary, payload: Buffer.alloc(2_000) }),
};

/** What the backend gets then; a lost one gets nothing. */
const backendCodes: Readonly<Record<string, number>> = {
  protocol_error: 1001,
  backend_protocol_error: 1002,
  too_big: 1001,
};

const reasons = Object.entries(provocations);

function yaml(closeCodes: string, closeTimeout: string): string {
  return `
limits: { maxMessageSize: 1KiB }
timeouts: { close: ${closeTimeout}, ping: off }
routes: [{ match: { path: /* }, pool: chat, closeCodes: { ${closeCodes} } }]`;
}

describe("closeCodes", () => {
  test("sends the client another code, and keeps the reason's text", async () => {
    const closeCodes = reasons.map(([reason], index) => `${reason}: ${4100 + index}`).join(", ");
    const relay = await startRelay({ yaml: yaml(closeCodes, "60s") });
    for (const [index, [reason, provoke]] of reasons.entries()) {
      const pair = await relay.open();
      await provoke(pair);
      const close = await pair.client.nextClose();
      expect(close.code).toBe(4100 + index);
      expect(close.reason).toBe(reason.replaceAll("_", " ").replace("too big", "message too big"));
      // A lost backend is counted as what it did, the others as what Weir sent.
      const code = reason === "backend_lost" ? "1006" : "4xxx";
      await untilCounted(relay.adminUrl, pair, { reason, code });
    }
  });

  test("none cuts the client without a Close, and the backend gets its own all the same", async () => {
    const relay = await startRelay({
      yaml: yaml(reasons.map(([reason]) => `${reason}: none`).join(", "), "60s"),
    });
    for (const [reason, provoke] of reasons) {
      const pair = await relay.open();
      await provoke(pair);
      expect(await pair.client.readToEnd()).toHaveLength(0);
      expect(await codeAtBackend(pair)).toBe(backendCodes[reason]);
      await untilCounted(relay.adminUrl, pair, { reason, code: "1006" });
    }
  });

  test("draining: another code at a shutdown", async () => {
    const relay = await startRelay({ yaml: yaml("draining: 4009", "60s") });
    const { client, backend } = await relay.open();
    const drained = relay.weir.drain();
    expect(await client.nextClose()).toEqual({ code: 4009, reason: "server shutting down" });
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await Promise.all([client.sendClose(4009), backend.sendClose(1001)]);
    backend.finish();
    client.finish();
    await drained;
  });
});

describe("a peer that does not answer Weir's Close", () => {
  test("is destroyed after timeouts.close, whatever the reason", async () => {
    const relay = await startRelay({ yaml: yaml("", "50ms") });
    for (const [reason, provoke] of reasons) {
      const { client, backend } = await relay.open();
      await provoke({ client, backend });
      expect((await client.nextClose()).code).toBeGreaterThan(1001);
      await expectGone(client);
      await expectGone(backend);
      await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason });
    }
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
  });

  test("is destroyed although it goes on sending messages", async () => {
    const relay = await startRelay({ yaml: yaml("", "50ms") });
    const { client, backend } = await relay.open();
    backend.reset();
    expect(await client.nextClose()).toMatchObject({ code: 1012 });
    await until("Weir ends the connection", async () => {
      await client.sendText("still here").catch(() => {});
      return client.peerState !== "open";
    });
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
  });

  test("is destroyed although it leaves the frame that it was in the middle of unfinished", async () => {
    const relay = await startRelay({ yaml: yaml("", "50ms") });
    const { client, backend } = await relay.open();
    const part = backend.encode({ opcode: binary, payload: "part", declaredLength: 1_000 });
    await backend.write(part);
    await client.readBytes(part.length);
    await client.sendFrame({ opcode: 0x3 });
    // The client cannot be sent a Close inside the backend's frame.
    await expectGone(client);
    expect(client.buffered).toHaveLength(0);
    await expectGone(backend);
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
  });

  test("is destroyed although it reads nothing", async () => {
    const relay = await startRelay({ yaml: yaml("", "50ms") });
    const { client, backend } = await relay.open();
    client.pause();
    backend.socket.end(backend.encode({ opcode: binary, payload: Buffer.alloc(500_000) }));
    await untilMetric(relay.adminUrl, 1, "weir_closes_total", { reason: "backend_lost" });
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
    expect(client.receivedBytes).toBeLessThan(500_000);
  });
});

/** Both peers answer what they got and end; then Weir counts the connection. */
async function untilCounted(
  adminUrl: string,
  { client, backend }: RelayedPair,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  for (const side of [client, backend]) {
    if (side.socket.writable) await side.sendClose(1000);
    side.finish();
  }
  await untilMetric(adminUrl, 1, "weir_closes_total", { pool: "chat", ...labels });
  await untilMetric(adminUrl, 0, "weir_connections");
}

async function codeAtBackend({ backend }: RelayedPair): Promise<number | undefined> {
  return backend.socket.destroyed ? undefined : (await backend.nextClose()).code;
}

async function expectGone(side: RawConnection): Promise<void> {
  await until("Weir ends the socket", () => side.peerState !== "open" || side.socket.destroyed);
}
