// An upgrade that everybody agrees to: what passes between client and backend until the 101 and with it.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { accept, acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

describe("an upgrade", () => {
  test("is answered with the backend's own 101, and counted", async () => {
    const backend = await startScriptedBackend(
      accept({ lines: ["X-Server: scripted", "Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Length: 0"] }),
    );
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url);
    const names = response.headers.map(([name]) => name);
    expect(response.startLine).toBe("HTTP/1.1 101 Switching Protocols");
    expect(names).toEqual([
      "Upgrade",
      "Connection",
      "Sec-WebSocket-Accept",
      "X-Server",
      "Set-Cookie",
      "Set-Cookie",
    ]);
    expect(response.header("set-cookie")).toBe("a=1, b=2");
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { pool: "chat", result: "ok" });
    await untilMetric(weir.adminUrl, 1, "weir_connections", { pool: "chat", tier: "default" });
    await untilMetric(weir.adminUrl, 1, "weir_handshake_duration_seconds_count", { pool: "chat" });
  });

  test("keeps path and query exactly as the client wrote them", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const path = "/a%2Fb/./c//d;p=1/%7e?x=1&x=2&y=%20?&z";
    await openRaw(weir.url, { path });
    expect(backend.upgrades.map(({ url }) => url)).toEqual([path]);
  });

  test("is recognised with its tokens in lists, in other case, on several lines", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    for (const lines of [
      ["Connection: keep-alive, Upgrade", "Upgrade: foo, websocket"],
      ["connection: UPGRADE", "UPGRADE: WebSocket"],
      ["Connection: keep-alive", "Connection: Upgrade", "Upgrade: websocket"],
    ]) {
      await openRaw(weir.url, { omit: ["Connection", "Upgrade"], lines });
      expect(backend.upgrades.at(-1)?.headers).toMatchObject({ connection: "Upgrade", upgrade: "websocket" });
    }
    expect(backend.upgrades).toHaveLength(3);
  });

  test("with a Content-Length of 0 has no body", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const { connection } = await openRaw(weir.url, { lines: ["Content-Length: 0"] });
    await connection.sendText("hello");
    expect(await connection.nextText()).toBe("hello");
  });

  test("arrives byte by byte, as does the first frame", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.writeByteByByte(upgradeRequest());
    await connection.writeByteByByte(connection.encode({ opcode: opcodes.text, payload: "slow" }));
    expect((await connection.readHead()).status).toBe(101);
    expect(await connection.nextText()).toBe("slow");
  });
});

describe("subprotocols and extensions", () => {
  test("are agreed between client and backend", async () => {
    const backend = await startEchoBackend({
      ws: {
        handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false),
        perMessageDeflate: true,
      },
    });
    const weir = await startInFrontOf(backend.url);
    const client = await openClient(weir.url, {
      protocols: ["chat.v1", "chat.v2"],
      perMessageDeflate: { threshold: 0 },
    });
    expect(client.socket.protocol).toBe("chat.v2");
    expect(client.socket.extensions).toContain("permessage-deflate");
    expect(backend.upgrades[0]?.headers["sec-websocket-protocol"]).toBe("chat.v1,chat.v2");
    expect(await client.ask("compressed ".repeat(100))).toBe("compressed ".repeat(100));
  });

  test("that the backend declines are declined for the client", async () => {
    const backend = await startScriptedBackend(accept());
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url, { protocols: ["chat"], extensions: "permessage-deflate" });
    expect(response.header("sec-websocket-protocol")).toBeUndefined();
    expect(response.header("sec-websocket-extensions")).toBeUndefined();
  });

  test("that Weir does not know pass with their parameters", async () => {
    const agreed = 'x-future; level=3; mode="fast"';
    const backend = await startScriptedBackend(accept({ extensions: agreed }));
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url, { extensions: `${agreed}, permessage-deflate` });
    expect(response.header("sec-websocket-extensions")).toBe(agreed);
  });
});

describe("bytes that come early", () => {
  test("from the client, in the packet of its request, reach the backend after the 101", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    const frame = connection.encode({ opcode: opcodes.text, payload: "early" });
    await connection.write(Buffer.concat([Buffer.from(upgradeRequest()), frame]));
    expect((await connection.readHead()).status).toBe(101);
    expect(await connection.nextText()).toBe("early");
  });

  test("from the client, in packets before the 101, arrive in order and uncut", async () => {
    const texts = Array.from({ length: 50 }, (_, i) => `${i} ${"x".repeat(4_000)}`);
    const goAhead = Promise.withResolvers<void>();
    const backend = await startScriptedBackend(async (connection) => {
      await goAhead.promise;
      await acceptUpgrade(connection);
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    const backendEnd = await backend.connection(0);
    await backendEnd.untilReceivedBytes(1);
    // More than Weir keeps for a client without its 101: the rest waits in the kernel.
    const sent = texts.map((text) => connection.sendText(text));
    await sent[0];
    goAhead.resolve();
    await Promise.all(sent);
    expect((await connection.readHead()).status).toBe(101);
    for (const text of texts) expect(await backendEnd.nextText()).toBe(text);
  });

  test("from the backend, in the packet of its 101, reach the client", async () => {
    const frames = ["first", "second"].map((payload) => encodeFrame({ opcode: opcodes.text, payload }));
    const backend = await startScriptedBackend(accept({ earlyBytes: Buffer.concat(frames) }));
    const weir = await startInFrontOf(backend.url);
    const { connection } = await openRaw(weir.url);
    expect(await connection.nextText()).toBe("first");
    expect(await connection.nextText()).toBe("second");
  });

  test("from both sides pass each other", async () => {
    const earlyBytes = encodeFrame({ opcode: opcodes.text, payload: "welcome" });
    const backend = await startScriptedBackend(accept({ earlyBytes }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    const frame = connection.encode({ opcode: opcodes.text, payload: "hello" });
    await connection.write(Buffer.concat([Buffer.from(upgradeRequest()), frame]));
    expect((await connection.readHead()).status).toBe(101);
    expect(await connection.nextText()).toBe("welcome");
    expect(await (await backend.connection(0)).nextText()).toBe("hello");
  });
});

describe("the backend's answer", () => {
  test("may come after interim ones, which end at Weir", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
      await acceptUpgrade(connection);
    });
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url);
    expect(response.header("link")).toBeUndefined();
  });

  test("loses what concerns only its own hop", async () => {
    const lines = ["Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-End: 2"];
    const backend = await startScriptedBackend(accept({ lines }));
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url);
    expect(response.header("connection")).toBe("Upgrade");
    expect(response.header("x-hop")).toBeUndefined();
    expect(response.header("keep-alive")).toBeUndefined();
    expect(response.header("x-end")).toBe("2");
  });
});
