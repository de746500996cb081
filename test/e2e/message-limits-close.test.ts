// onExceed: close and log, and a tier's bytes per second.
import { describe, expect, test } from "vitest";

import { encodeFrame, opcodes } from "../support/frames.ts";
import { startLimited } from "../support/limited.ts";
import { untilMetric } from "../support/metrics.ts";

const { binary, text, ping } = opcodes;
const limited = "weir_messages_limited_total";
const messages = { rate: "1/h", burst: 2 };

describe("onExceed: close", () => {
  test("ends the connection with 1008 at the first message above the limit", async () => {
    const weir = await startLimited({ tier: { messages }, limits: { onExceed: "close" } });
    const { client, backend } = await weir.open("ann");
    const frames = ["a", "b", "c", "d"].map((payload) => client.encode({ opcode: text, payload }));
    await client.write(Buffer.concat(frames));
    expect(await client.nextClose()).toEqual({ code: 1008, reason: "message rate exceeded" });
    expect(await backend.nextText()).toBe("a");
    expect(await backend.nextText()).toBe("b");
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await untilMetric(weir.adminUrl, 1, limited, { action: "close", tier: "member" });
    client.socket.destroy();
    backend.socket.destroy();
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", { reason: "rate", by: "weir", code: "1008" });
    const { fields } = await weir.log.entry(
      "the access line",
      ({ message }) => message === "connection closed",
    );
    expect(fields).toMatchObject({ user: "ann", tier: "member", reason: "rate", limited: 1 });
  });

  test("and closeCodes of the route chooses another code", async () => {
    const weir = await startLimited({
      tier: { messages },
      limits: { onExceed: "close" },
      route: { closeCodes: { rate: 4_008 } },
    });
    const { client } = await weir.open("ann");
    for (const payload of ["a", "b", "c"]) await client.sendText(payload);
    expect(await client.nextClose()).toEqual({ code: 4_008, reason: "message rate exceeded" });
  });
});

test("onExceed: log counts and logs, and lets everything through", async () => {
  const weir = await startLimited({
    tier: { messages },
    limits: { onExceed: "log", abuse: { violations: 1 } },
  });
  const { client, backend } = await weir.open("ann");
  const frames = Array.from({ length: 50 }, (_, i) =>
    client.encode({ opcode: text, payload: `message ${i}` }),
  );
  const bytes = Buffer.concat(frames);
  await client.write(bytes);
  expect(await backend.readBytes(bytes.length)).toEqual(bytes);
  await untilMetric(weir.adminUrl, 48, limited, { action: "log" });
  await untilMetric(weir.adminUrl, 50, "weir_messages_total", { direction: "client_to_backend" });
  const { fields } = await weir.log.entry("the limit", ({ message }) => message.includes("above the limit"));
  expect(fields).toMatchObject({ user: "ann", tier: "member", route: "*/*", address: "127.0.0.1" });
  // What is only logged is no violation.
  await untilMetric(weir.adminUrl, 0, "weir_bans");
});

describe("a tier's bytes", () => {
  test("are charged as they pass: a message above the burst goes whole, and all arrive in order", async () => {
    const weir = await startLimited({ tier: { bytes: { rate: "4MiB/s", burst: "1KiB" } } });
    const { client, backend } = await weir.open("ann");
    const frames = [100_000, 10, 300_000, 0, 5_000, 200_000].map((length, i) =>
      client.encode({ opcode: binary, payload: Buffer.alloc(length, i) }),
    );
    const bytes = Buffer.concat(frames);
    await client.write(bytes);
    expect((await backend.readBytes(bytes.length)).equals(bytes)).toBe(true);
  });

  test("hold a sender back that is in debt, also in the middle of a message", async () => {
    const weir = await startLimited({ tier: { bytes: { rate: "1KiB/h", burst: "1KiB" } } });
    const { client, backend } = await weir.open("ann");
    const payload = Buffer.alloc(32 * 1_024 * 1_024);
    client.socket.write(encodeFrame({ opcode: binary, payload, maskingKey: Buffer.alloc(4) }));
    await backend.untilReceivedBytes(1_024);
    const other = await weir.open("bob");
    await other.client.sendText("not held back");
    expect(await other.backend.nextText()).toBe("not held back");
    expect(backend.receivedBytes).toBeLessThan(1_024 * 1_024);
    expect(client.socket.writableLength).toBeGreaterThan(8 * 1_024 * 1_024);
    await backend.sendFrame({ opcode: ping });
    expect(await client.nextFrame()).toMatchObject({ opcode: ping });
  });

  test("are one budget for all of a user's connections", async () => {
    const weir = await startLimited({ tier: { bytes: { rate: "1KiB/h", burst: "64KiB" } } });
    const first = await weir.open("ann");
    await first.client.sendFrame({ opcode: binary, payload: Buffer.alloc(100_000) });
    await first.backend.readBytes(100_000);
    const second = await weir.open("ann");
    // It goes into debt with its first packet, and is not read again.
    await second.client.sendText("passes");
    expect(await second.backend.nextText()).toBe("passes");
    second.client.socket.write(Buffer.alloc(32 * 1_024 * 1_024));
    const other = await weir.open("bob");
    await other.client.sendText("not held back");
    expect(await other.backend.nextText()).toBe("not held back");
    expect(second.backend.receivedBytes).toBeLessThan(1_024);
    expect(second.client.socket.writableLength).toBeGreaterThan(8 * 1_024 * 1_024);
  });
});
