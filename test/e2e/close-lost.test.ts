// A side that goes without a Close: what came before is delivered, the other side is told as the
// contract's table of ends has it, and the end is counted and logged.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { type Relay, relayYaml, startRelay } from "../support/relay.ts";
import { accept, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const { text, binary, ping } = opcodes;

/** Long enough that no test gets by on it. */
const patient = "timeouts: { close: 60s }";

const ends = [
  ["a FIN", (side: RawConnection) => side.finish()],
  ["a RST", (side: RawConnection) => side.reset()],
] as const;

const lostBackend = { code: 1012, reason: "backend lost" };

describe("a backend gone without a Close", () => {
  test.for(ends)("by %s: the client gets what came before, then 1012", async ([, end]) => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    await client.sendText("up");
    await backend.nextText();
    await backend.sendText("down");
    expect(await client.nextText()).toBe("down");
    end(backend);
    expect(await client.nextClose()).toEqual(lostBackend);
    await client.sendClose(1012);
    await expectToEnd(client);
    await expectCounted(relay, { by: "backend", reason: "backend_lost", code: "1006" });
    const { fields } = await accessLine(relay);
    expect(fields).toMatchObject({
      pool: "chat",
      backend: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      user: "ip:127.0.0.1",
      tier: "default",
      address: "127.0.0.1",
      route: "*/*",
      requestId: expect.any(String),
      code: 1006,
      by: "backend",
      reason: "backend_lost",
      messagesToBackend: 1,
      messagesToClient: 1,
      bytesToBackend: 8,
      bytesToClient: 6,
      durationMs: expect.any(Number),
    });
  });

  test("with its FIN right behind its data: all of it arrives before the 1012", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    const payload = Buffer.alloc(3_000_000, 5);
    backend.socket.end(backend.encode({ opcode: binary, payload }));
    expect((await client.nextFrame()).payload.equals(payload)).toBe(true);
    expect(await client.nextClose()).toEqual(lostBackend);
  });

  test("in the middle of a frame: the client gets the part that came, and no Close", async () => {
    const relay = await startRelay({ yaml: patient });
    for (const [, end] of ends) {
      const { client, backend } = await relay.open();
      const part = Buffer.concat([
        backend.encode({ opcode: text, payload: "whole" }),
        backend.encode({ opcode: binary, payload: "part", declaredLength: 100 }),
      ]);
      await backend.write(part);
      expect(await client.readBytes(part.length)).toEqual(part);
      end(backend);
      await expectToEnd(client);
    }
    await expectCounted(relay, { by: "backend", reason: "backend_lost", code: "1006" }, ends.length);
  });

  test("writes no access line where log.access is off", async () => {
    const relay = await startRelay({ yaml: `${patient}\nlog: { access: off }` });
    const { client, backend } = await relay.open();
    client.reset();
    backend.reset();
    await untilMetric(relay.adminUrl, 1, "weir_closes_total");
    expect(relay.log.entries.filter(({ message }) => message === "connection closed")).toEqual([]);
  });

  test("in the middle of a header or of a control frame: 1012, and nothing of it", async () => {
    const relay = await startRelay({ yaml: patient });
    for (const spec of [
      { opcode: ping, payload: "cut off" },
      { opcode: binary, payload: Buffer.alloc(200) },
    ]) {
      const { client, backend } = await relay.open();
      await backend.write(backend.encode(spec).subarray(0, 3));
      backend.finish();
      expect(await client.nextClose()).toEqual(lostBackend);
    }
  });

  test("between two fragments of a message: 1012 behind the first", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    await backend.sendFrame({ opcode: text, payload: "unfinished", fin: false });
    backend.finish();
    expect(await client.nextFrame()).toMatchObject({ opcode: text, fin: false });
    expect(await client.nextClose()).toEqual(lostBackend);
  });

  test("as a ws client sees it: 1012, or 1006 in the middle of a frame", async () => {
    const part = encodeFrame({ opcode: binary, payload: "part", declaredLength: 100 });
    const server = await startScriptedBackend([
      accept({}, (backend) => backend.finish()),
      accept({ earlyBytes: part }, (backend) => backend.finish()),
    ]);
    const { url } = await startWeir(relayYaml([server.url], patient));
    expect(await (await openClient(url)).closed()).toEqual(lostBackend);
    expect((await (await openClient(url)).closed()).code).toBe(1006);
  });

  test("while the client sends: its bytes are read and thrown away until its Close", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    backend.reset();
    expect(await client.nextClose()).toEqual(lostBackend);
    await client.sendFrame({ opcode: binary, payload: Buffer.alloc(4_000_000) });
    await client.sendClose(1012);
    await expectToEnd(client);
  });
});

describe("a client gone without a Close", () => {
  test("by a FIN: the backend gets what came before, then a FIN of its own", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    const payload = Buffer.alloc(3_000_000, 6);
    const frame = client.encode({ opcode: binary, payload });
    client.socket.end(frame);
    expect((await backend.readToEnd()).equals(frame)).toBe(true);
    backend.finish();
    await Promise.all([client.untilClosed(), backend.untilClosed()]);
    await expectCounted(relay, { by: "client", reason: "client_lost", code: "1006" });
    expect((await accessLine(relay)).fields).toMatchObject({
      code: 1006,
      by: "client",
      reason: "client_lost",
    });
  });

  test("by a RST: the backend sees a FIN", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    await client.sendText("before");
    expect(await backend.nextText()).toBe("before");
    client.reset();
    await expectToEnd(backend);
    await expectCounted(relay, { by: "client", reason: "client_lost", code: "1006" });
  });

  test("keeps its slot until the backend's socket is closed too", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    client.reset();
    await backend.untilPeerState("fin");
    // Had the slot come back, Weir would have heard of it before this one.
    const other = await relay.open();
    expect((await scrape(relay.adminUrl)).sum("weir_backend_connections")).toBe(2);
    backend.finish();
    await untilMetric(relay.adminUrl, 1, "weir_backend_connections");
    other.client.reset();
    other.backend.reset();
  });

  test("while more is on its way to it than it reads: the backend sees a FIN, and no RST", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    client.pause();
    const sent = backend.write(backend.encode({ opcode: binary, payload: Buffer.alloc(16_000_000) }));
    await client.sendText("before");
    client.finish();
    expect(await backend.nextText()).toBe("before");
    expect(await backend.readToEnd()).toHaveLength(0);
    // Weir reads and throws away what nobody wants any more.
    await sent;
    backend.finish();
    client.reset();
    await untilMetric(relay.adminUrl, 0, "weir_backend_connections");
  });

  test("in the middle of a frame: the backend gets the part that came", async () => {
    const relay = await startRelay({ yaml: patient });
    for (const [, end] of ends) {
      const { client, backend } = await relay.open();
      const part = client.encode({ opcode: binary, payload: "part", declaredLength: 100 });
      await client.write(part);
      expect(await backend.readBytes(part.length)).toEqual(part);
      end(client);
      await expectToEnd(backend);
    }
  });

  test("as a ws backend sees it: every message, then 1006", async () => {
    const backend = await startEchoBackend();
    const { url } = await startWeir(relayYaml([backend.url], patient));
    const client = await openClient(url);
    expect(await client.ask("hello")).toBe("hello");
    client.socket.terminate();
    expect(await backend.close(0)).toEqual({ code: 1006, reason: "" });
  });

  test("by a FIN, with its other half still open: Weir ends that too", async () => {
    const { client, backend } = await (await startRelay({ yaml: patient })).open();
    client.finish();
    await expectToEnd(backend);
    await client.untilPeerState("fin");
    expect(client.buffered).toHaveLength(0);
  });
});

describe("one side has sent its Close, and the other one", () => {
  test.for(ends)("(the backend) vanishes by %s: the client gets its own Close back", async ([, end]) => {
    const relay = await startRelay({ yaml: patient });
    for (const [code, reason] of [[4001, "bye"], [1000, ""], []] as const) {
      const { client, backend } = await relay.open();
      await client.sendClose(code, reason);
      await backend.nextClose();
      end(backend);
      expect(await client.nextClose()).toEqual({ code: code ?? 1005, reason: reason ?? "" });
      await expectToEnd(client);
    }
    await expectCounted(relay, { by: "client", reason: "close" }, 3);
    await expectCounted(relay, { by: "client", reason: "close", code: "1005" });
  });

  test.for(ends)("(the client) vanishes by %s: the backend gets its own Close back", async ([, end]) => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    await backend.sendClose(4002, "bye");
    await client.nextClose();
    end(client);
    expect(await backend.nextFrame()).toMatchObject({
      masked: true,
      payload: Buffer.from("\x0f\xa2bye", "latin1"),
    });
    // RFC 6455 §7.1.1: the server, which the backend is, ends its socket first.
    backend.finish();
    await expectToEnd(backend);
    await expectCounted(relay, { by: "backend", reason: "close", code: "4xxx" });
  });

  test("vanishes in the middle of a frame: the stream just ends", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    const part = backend.encode({ opcode: binary, payload: "part", declaredLength: 100 });
    await backend.write(part);
    expect(await client.readBytes(part.length)).toEqual(part);
    await client.sendClose(1000);
    await backend.nextClose();
    backend.reset();
    await expectToEnd(client);
    await expectCounted(relay, { by: "client", reason: "close", code: "1000" });
  });
});

/** The peer ends its stream, with no byte more; then the socket closes wholly. */
async function expectToEnd(side: RawConnection): Promise<void> {
  expect(await side.readToEnd()).toHaveLength(0);
  side.finish();
  await side.untilClosed();
}

async function expectCounted(
  { adminUrl }: Relay,
  labels: Readonly<Record<string, string>>,
  count = 1,
): Promise<void> {
  await untilMetric(adminUrl, count, "weir_closes_total", { pool: "chat", ...labels });
  await untilMetric(adminUrl, 0, "weir_connections");
  await untilMetric(adminUrl, 0, "weir_backend_connections");
}

function accessLine({ log }: Relay): ReturnType<Relay["log"]["entry"]> {
  return log.entry("connection closed", ({ message }) => message === "connection closed");
}
