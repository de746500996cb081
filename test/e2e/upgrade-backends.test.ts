// Backends that do not switch protocols: those that fail, and those that answer something else.
import { describe, expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { acceptFor, connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import {
  accept,
  acceptWrongly,
  answer,
  answerGarbage,
  closeMidHead,
  neverAnswer,
  resetAt,
  startScriptedBackend,
  type Script,
} from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach, timeouts } from "../support/start-in-front.ts";
import { expectRefusal } from "../support/ws-client.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";

const usual = ["Upgrade: websocket", "Connection: Upgrade"];

/** A 101 with these lines beside a right Accept. */
function switching(...lines: readonly string[]): Script {
  return answerGarbage(switchingText("HTTP/1.1", lines));
}

function switchingText(version: string, lines: readonly string[] = usual): string {
  const accepted = `Sec-WebSocket-Accept: ${acceptFor(key)}`;
  return [`${version} 101 Switching Protocols`, accepted, ...lines, "", ""].join("\r\n");
}

const failures: readonly (readonly [what: string, script: Script, reason: string])[] = [
  ["a wrong Accept", acceptWrongly(), "the backend's answer: sec-websocket-accept does not match the key"],
  ["no Accept", answerGarbage(["HTTP/1.1 101 x", ...usual, "", ""].join("\r\n")), "does not match the key"],
  ["two Accepts", switching(...usual, `Sec-WebSocket-Accept: ${acceptFor(key)}`), "does not match the key"],
  ["another protocol", switching("Upgrade: h2c", "Connection: Upgrade"), "upgrade does not name websocket"],
  [
    "a subprotocol that was not offered",
    accept({ protocol: "chat" }),
    "sec-websocket-protocol was not offered",
  ],
  [
    "an extension that was not offered",
    accept({ extensions: "x-a" }),
    "sec-websocket-extensions was not offered",
  ],
  ["a malformed extension", accept({ extensions: "x-a;;" }), "sec-websocket-extensions is malformed"],
  ["garbage", answerGarbage(), "the backend's answer: "],
  [
    "garbage behind a status line",
    answerGarbage("HTTP/1.1 101 x\r\nno colon\r\n\r\n"),
    "the backend's answer: ",
  ],
  ["a 101 with a bare LF", switching(...usual, "X: 1\nY: 2"), "the backend's answer: "],
  ["a 101 with obs-fold", switching(...usual, "X: 1", " 2"), "the backend's answer: "],
  ["a 101 with a NUL", switching(...usual, "X: \0"), "the backend's answer: "],
  ["a 101 of HTTP/1.0", answerGarbage(switchingText("HTTP/1.0")), "the backend's answer: "],
  ["a 101 behind an empty line", answerGarbage(`\r\n${switchingText("HTTP/1.1")}`), "the backend's answer: "],
  ["a 101 above maxHeaderSize", switching(...usual, `X: ${"a".repeat(20_000)}`), "the backend's answer: "],
  ["half a head, then FIN", closeMidHead(), "the backend failed"],
  ["FIN at once", (connection) => connection.finish(), "the backend failed"],
  ["RST at once", resetAt("connect"), "the backend failed"],
  ["RST after the head", resetAt("head"), "the backend failed"],
];

test("a backend whose answer is no valid handshake is answered 502 in its place, and cut", async () => {
  const echo = await startEchoBackend();
  const backends = await Promise.all(failures.map(([, script]) => startScriptedBackend(script)));
  const urls = backends.map(({ url }) => url);
  const weir = await startInFrontOfEach([...urls, echo.url], { pool: { retries: 0 } });
  const bystander = await openBystander(`${weir.url}/${urls.length}`);
  for (const [i, [what, , reason]] of failures.entries()) {
    const { status, code, message } = await refusalOf(weir.url, upgradeRequest({ path: `/${i}`, key }));
    expect.soft([what, status, code]).toEqual([what, 502, "backend_failed"]);
    expect.soft(message, what).toContain(reason);
    const { level } = await weir.log.entry(what, ({ fields }) => fields["reason"] === message);
    expect.soft(level).toBe("warn");
    await backends[i]?.connections[0]?.untilClosed();
    await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", {
      pool: `case-${i}`,
      result: "backend_failed",
    });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool: `case-${i}` });
  }
  await bystander.expectUnharmed();
});

test("bytes behind a wrong handshake never reach the client", async () => {
  const backend = await startScriptedBackend(
    accept({ accept: acceptFor("AAAAAAAAAAAAAAAAAAAAAA=="), earlyBytes: Buffer.from("smuggled") }),
  );
  const weir = await startInFrontOf(backend.url, { pool: { retries: 0 } });
  const connection = await connectRaw(weir.url);
  await connection.write(upgradeRequest());
  expect((await connection.readHead()).status).toBe(502);
  expect((await connection.readToEnd()).toString()).not.toContain("smuggled");
});

describe("a backend that is not there or says nothing", () => {
  test.for([
    ["nobody listens", "ws://127.0.0.1:1"],
    ["the socket file is missing", "unix:/nonexistent/backend.sock"],
  ] as const)("is answered 502 where %s", async ([, url]) => {
    const weir = await startInFrontOf(url);
    const refusal = await expectRefusal(weir.url);
    expect(refusal.status).toBe(502);
    expect(JSON.parse(refusal.body)).toMatchObject({ error: "backend_failed" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool: "chat" });
  });

  test("is answered 504 where its answer is not there in time", async () => {
    const late = {
      "it never answers": neverAnswer(),
      "its head does not end": answerGarbage("HTTP/1.1 101 x\r\nUpgrade: webso"),
      "its other answer's head does not end": answerGarbage("HTTP/1.1 200 OK\r\nContent-Le"),
      "it sends interim answers only": answerGarbage("HTTP/1.1 102 Processing\r\n\r\n".repeat(3)),
    };
    const backends = await Promise.all(Object.values(late).map((script) => startScriptedBackend(script)));
    const weir = await startInFrontOfEach(
      backends.map(({ url }) => url),
      { config: timeouts({ backendHandshake: "100ms" }) },
    );
    for (const [i, what] of Object.keys(late).entries()) {
      const { status, code } = await refusalOf(weir.url, upgradeRequest({ path: `/${i}` }));
      expect.soft([what, status, code]).toEqual([what, 504, "backend_timeout"]);
      await backends[i]?.connections[0]?.untilClosed();
    }
    const logged = await weir.log.entry("a timeout", ({ fields }) => fields["code"] === "backend_timeout");
    expect(logged.level).toBe("warn");
  });

  test("is answered 504 where its TLS handshake does not end within connectTimeout", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const url = backend.url.replace("ws:", "wss:");
    const weir = await startInFrontOf(url, { pool: { connectTimeout: "100ms" } });
    expect(await refusalOf(weir.url, upgradeRequest())).toMatchObject({
      status: 504,
      code: "backend_timeout",
    });
    await (await backend.connection(0)).untilClosed();
  });
});

describe("a backend's answer other than 101", () => {
  test("passes through whole, and both sockets are closed", async () => {
    const answers = [
      [401, "content-length", ['WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: Bearer"]],
      [302, "chunked", ["Location: https://elsewhere/"]],
      [404, "until-close", ["Content-Type: text/html"]],
      [500, "content-length", ["Set-Cookie: a=1", "Set-Cookie: b=2"]],
      [200, "chunked", []],
    ] as const;
    const body = "the backend's own words ".repeat(10_000);
    const backends = await Promise.all(
      answers.map(([status, framing, lines]) =>
        startScriptedBackend(answer({ status, framing, lines, body })),
      ),
    );
    const weir = await startInFrontOfEach(backends.map(({ url }) => url));
    for (const [i, [status, , lines]] of answers.entries()) {
      const refusal = await expectRefusal(`${weir.url}/${i}`);
      expect.soft(refusal.status).toBe(status);
      expect.soft(refusal.body).toBe(body);
      expect.soft(refusal.headers.connection).toBe("close");
      for (const line of lines) {
        const [name = "", value = ""] = line.split(": ");
        expect.soft(String(refusal.headers[name.toLowerCase()])).toContain(value);
      }
      await backends[i]?.connections[0]?.untilClosed();
      const pool = `case-${i}`;
      await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { pool, result: "backend_refused" });
      await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { pool });
    }
    const { level, fields } = await weir.log.entry("it", ({ message }) => message === "upgrade refused");
    expect([level, fields["code"]]).toEqual(["warn", "backend_refused"]);
  });

  test("keeps its header lines but those of its own hop", async () => {
    const lines = ["X-Case: Kept", "Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: timeout=5"];
    const backend = await startScriptedBackend(answer({ status: 403, body: "no", lines }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    const head = await connection.readHead();
    expect(head.startLine).toBe("HTTP/1.1 403 Scripted");
    expect(head.raw).toContain("X-Case: Kept\r\n");
    expect(head.header("connection")).toBe("close");
    expect(head.header("x-hop")).toBeUndefined();
    expect(head.header("keep-alive")).toBeUndefined();
    expect((await connection.readToEnd()).toString()).toBe("no");
  });

  // The client was promised an answer of so many bytes: what comes behind them could be an answer to a
  // request of the attacker's, if the socket were one that others use.
  test.for([
    ["an answer", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"],
    ["frames", "\x81\x08smuggled"],
  ])("ends where it says, whatever the backend sends behind it: %s", async ([, extraBytes]) => {
    const body = "no ".repeat(1_000);
    const backend = await startScriptedBackend(
      answer({ status: 403, body, extraBytes: Buffer.from(extraBytes ?? "", "latin1") }),
    );
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    await connection.readHead();
    expect((await connection.readToEnd()).toString("latin1")).toBe(body);
  });

  test("that is cut short does not look whole", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly this");
      connection.reset();
    });
    const weir = await startInFrontOf(backend.url);
    await expect(expectRefusal(weir.url)).rejects.toThrow("aborted");
  });

  test("that stops in the middle is cut after timeouts.http", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly this");
    });
    const weir = await startInFrontOf(backend.url, { config: timeouts({ http: "100ms" }) });
    await expect(expectRefusal(weir.url)).rejects.toThrow("aborted");
    await (await backend.connection(0)).untilClosed();
  });

  test("whose client leaves in the middle lets the backend go", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nonly this");
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest());
    await connection.readHead();
    connection.reset();
    expect(await (await backend.connection(0)).untilClosed()).not.toBe("open");
  });

  test("without a body passes too", async () => {
    const backend = await startScriptedBackend(answerGarbage("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"));
    const weir = await startInFrontOf(backend.url);
    const refusal = await expectRefusal(weir.url);
    expect([refusal.status, refusal.headers["x-a"], refusal.body]).toEqual([204, "1", ""]);
  });
});
