// The tools of the tests, held against each other: `ws` on one side, raw bytes on the other.
import { once } from "node:events";
import { createServer } from "node:net";

import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "./certificates.ts";
import { chromium, launchChromium } from "./chromium.ts";
import { startEchoBackend } from "./echo-backend.ts";
import { decodeFrame, encodeFrame, opcodes } from "./frames.ts";
import { countResources, expectNoMoreResourcesThan } from "./leak-check.ts";
import { connectRaw, openRaw, upgradeRequest } from "./raw-client.ts";
import { isMissing } from "./requirement.ts";
import {
  accept,
  acceptAndStopReading,
  acceptWrongly,
  answer,
  answerGarbage,
  closeMidHead,
  neverAnswer,
  resetAt,
  startScriptedBackend,
} from "./scripted-backend.ts";
import { until, untilEqual, within } from "./until.ts";
import { expectRefusal, openClient } from "./ws-client.ts";

describe("the raw client and a ws backend", () => {
  test("shake hands, echo, and close with code and reason", async () => {
    const backend = await startEchoBackend({ id: "server1" });
    const { connection, response } = await openRaw(`${backend.url}/chat?room=1`);
    expect(response.header("x-backend-id")).toBe("server1");
    await connection.sendText("hello");
    expect(await connection.nextText()).toBe("hello");
    await connection.sendText("who");
    expect(await connection.nextText()).toBe("server1");
    await connection.sendClose(4001, "enough");
    expect(await connection.nextClose()).toEqual({ code: 4001, reason: "enough" });
    expect(await backend.close(0)).toEqual({ code: 4001, reason: "enough" });
    expect(backend.upgrades[0]?.url).toBe("/chat?room=1");
    await untilEqual("the number of open connections", 0, () => backend.openConnections);
  });

  test("understand each other byte by byte", async () => {
    const backend = await startEchoBackend();
    const connection = await connectRaw(backend.url);
    await connection.writeByteByByte(upgradeRequest());
    expect((await connection.readHead()).status).toBe(101);
    await connection.writeByteByByte(connection.encode({ opcode: opcodes.text, payload: "slow" }));
    expect(await connection.nextText()).toBe("slow");
  });

  test("tell a vanished client from one that ends with FIN", async () => {
    const backend = await startEchoBackend();
    const first = await openRaw(backend.url);
    first.connection.reset();
    expect((await backend.close(0)).code).toBe(1006);
    const second = await openRaw(backend.url);
    second.connection.finish();
    expect((await backend.close(1)).code).toBe(1006);
    expect(await second.connection.untilClosed()).toBe("fin");
  });

  test.skipIf(isMissing(openssl))("meet over TLS", async () => {
    const certificates = await makeCertificates();
    const backend = await startEchoBackend({ tls: certificates });
    const { connection } = await openRaw(backend.url, { tls: { ca: certificates.ca } });
    await connection.sendText("secret");
    expect(await connection.nextText()).toBe("secret");
    const client = await openClient(backend.url, { ca: certificates.ca });
    expect(await client.ask("who")).toBe("echo");
  });
});

describe("the ws client and a scripted backend", () => {
  test("meet in an accepted upgrade, with a frame that comes with the 101", async () => {
    const earlyBytes = encodeFrame({ opcode: opcodes.text, payload: "early" });
    const backend = await startScriptedBackend(accept({ protocol: "chat", earlyBytes }));
    const client = await openClient(backend.url, { protocols: ["chat", "other"] });
    expect(client.socket.protocol).toBe("chat");
    expect(await client.nextText()).toBe("early");
    await client.send("to the script");
    const connection = await backend.connection(0);
    expect(await connection.nextText()).toBe("to the script");
    await connection.sendClose(4002, "over");
    expect(await client.closed()).toEqual({ code: 4002, reason: "over" });
  });

  test.for(["content-length", "chunked", "until-close"] as const)(
    "deliver a 401 with %s",
    async (framing) => {
      const backend = await startScriptedBackend(
        answer({ status: 401, body: "go away", framing, lines: ["X-Why: no"] }),
      );
      const refusal = await expectRefusal(backend.url);
      expect(refusal).toMatchObject({ status: 401, body: "go away", headers: { "x-why": "no" } });
    },
  );

  test.for([
    ["a wrong accept value", acceptWrongly(), "Invalid Sec-WebSocket-Accept header"],
    ["garbage", answerGarbage(), "Parse Error"],
    ["half a head", closeMidHead(), "socket hang up"],
    ["RST at once", resetAt("connect"), "ECONNRESET"],
    ["RST after the head", resetAt("head"), "ECONNRESET"],
  ] as const)("fail on %s", async ([, script, message]) => {
    const backend = await startScriptedBackend(script);
    await expect(openClient(backend.url)).rejects.toThrow(message);
  });

  test("see 1006 on RST after the 101", async () => {
    const backend = await startScriptedBackend(resetAt("accepted"));
    const client = await openClient(backend.url);
    expect((await client.closed()).code).toBe(1006);
  });

  test("play a list of scripts in order, the last for all that follow", async () => {
    const backend = await startScriptedBackend([answer({ status: 503 }), accept()]);
    expect((await expectRefusal(backend.url)).status).toBe(503);
    await openClient(backend.url);
    await openClient(backend.url);
    expect(backend.connections).toHaveLength(3);
  });

  test("leave a silent backend and one that stops reading", async () => {
    const silent = await startScriptedBackend(neverAnswer());
    const waiting = await connectRaw(silent.url);
    await waiting.write(upgradeRequest());
    await (await silent.connection(0)).untilReceivedBytes(1);
    const deaf = await startScriptedBackend(acceptAndStopReading());
    const client = await openClient(deaf.url);
    const sent = client.send(Buffer.alloc(32 * 1024 * 1024));
    await until("the sender is held back", () => client.socket.bufferedAmount > 0);
    const connection = await deaf.connection(0);
    connection.discardFromNowOn();
    connection.resume();
    await sent;
    await connection.untilReceivedBytes(32 * 1024 * 1024);
    expect(connection.buffered).toHaveLength(0);
  });
});

describe("frames", () => {
  test("survive encoding and decoding with every form of length", () => {
    for (const length of [0, 125, 126, 65_535, 65_536]) {
      const payload = Buffer.alloc(length, "x");
      const bytes = encodeFrame({ opcode: opcodes.binary, payload, maskingKey: Buffer.from("abcd"), rsv: 4 });
      const decoded = decodeFrame(bytes);
      expect(decoded?.length).toBe(bytes.length);
      expect(decoded?.frame).toEqual({ fin: true, rsv: 4, opcode: opcodes.binary, masked: true, payload });
      expect(decodeFrame(bytes.subarray(0, -1))).toBeUndefined();
    }
  });
});

describe("waiting", () => {
  test("says what was last seen when the deadline passes", async () => {
    await expect(until("five", () => undefined, { deadlineMs: 1 })).rejects.toThrow(
      "not within 1 ms: five; last seen: undefined",
    );
    await expect(untilEqual("the count", 5, () => 3, { deadlineMs: 1 })).rejects.toThrow("value: 3");
    await expect(within("a promise", new Promise(() => {}), { deadlineMs: 1 })).rejects.toThrow("a promise");
  });
});

describe("the leak check", () => {
  test("notices a server that is left open", async () => {
    const before = countResources();
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    await expect(expectNoMoreResourcesThan(before, { deadlineMs: 1 })).rejects.toThrow("TCPServerWrap: 1");
    server.close();
    await expectNoMoreResourcesThan(before);
  });
});

test.skipIf(isMissing(chromium))("a page in Chromium reaches a backend", async () => {
  const backend = await startEchoBackend();
  const context = await launchChromium();
  const page = await context.newPage();
  await page.goto(backend.url.replace("ws:", "http:"));
  expect(await page.textContent("body")).toContain('"id":"echo"');
});
