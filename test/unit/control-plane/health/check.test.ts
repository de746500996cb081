// Health checks against real servers on loopback: what passes, what fails and why, and that nothing is
// left open (the leak check of test/support looks after each test).
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { runCheck } from "../../../../src/control-plane/health/check.ts";
import { packageVersion } from "../../../../src/version.ts";
import { makeCertificates, openssl } from "../../../support/certificates.ts";
import { temporaryFolder } from "../../../support/cleanup.ts";
import { startEchoBackend } from "../../../support/echo-backend.ts";
import { isMissing } from "../../../support/requirement.ts";
import {
  accept,
  answer,
  answerGarbage,
  neverAnswer,
  resetAt,
  type Script,
  type ScriptedBackend,
  startScriptedBackend,
} from "../../../support/scripted-backend.ts";
import { checkTarget, deserted } from "./check-target.ts";

const userAgent = `weir-health-check/${packageVersion()}`;

/** The outcome of a check that is left alone: null, or what is wrong. */
async function outcome(...[options, healthCheck]: Parameters<typeof checkTarget>): Promise<string | null> {
  try {
    await runCheck(checkTarget(options, healthCheck), new AbortController().signal);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message || ("code" in error ? String(error.code) : "") : "no error";
  }
}

/** How a check ends that is given up once the backend has done as `script` says; its socket is gone by then. */
async function endBySignal(script: Script, healthCheck: string, scheme = "ws:"): Promise<unknown> {
  const begun = Promise.withResolvers<void>();
  const backend = await startScriptedBackend(async (connection) => {
    await script(connection);
    begun.resolve();
  });
  const abort = new AbortController();
  const url = backend.url.replace("ws:", scheme);
  const check = runCheck(checkTarget({ url }, healthCheck), abort.signal);
  const reason = check.catch((error: unknown) => error);
  await begun.promise;
  abort.abort(new Error("time is up"));
  await expectGone(backend);
  return await reason;
}

async function expectGone(backend: ScriptedBackend): Promise<void> {
  await (await backend.connection(0)).untilClosed();
}

describe("tcp", () => {
  test("passes where somebody accepts, and leaves", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    expect(await outcome({ url: backend.url }, "tcp")).toBeNull();
    await expectGone(backend);
    expect((await backend.connection(0)).receivedBytes).toBe(0);
  });

  test("fails where nobody listens", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    expect(await outcome({ url: deserted(backend.url) }, "tcp")).toMatch(/ECONNREFUSED/);
  });

  test("a Unix socket is checked, too", async () => {
    const unixPath = join(await temporaryFolder(), "backend.sock");
    expect(await outcome({ url: `unix:${unixPath}` }, "tcp")).toMatch(/ENOENT/);
    const backend = await startScriptedBackend(neverAnswer(), { unixPath });
    expect(await outcome({ url: backend.url }, "tcp")).toBeNull();
  });

  test("tries the addresses of a name in turn", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const url = backend.url.replace("127.0.0.1", "backend.test");
    const addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"];
    expect(await outcome({ url, addresses }, "tcp")).toBeNull();
    expect(backend.connections).toHaveLength(1);
    expect(await outcome({ url, addresses: addresses.slice(0, 2) }, "tcp")).toMatch(/ECONNREFUSED/);
  });

  test("the first address that accepts is the only one that is asked", async () => {
    const second = await startScriptedBackend(neverAnswer());
    const port = Number(new URL(second.url).port);
    const first = await startEchoBackend({ host: "127.0.0.2", port });
    const url = `ws://backend.test:${port}`;
    expect(await outcome({ url, addresses: ["127.0.0.2", "127.0.0.1"] }, "http")).toBeNull();
    expect(first.requests).toHaveLength(1);
    expect(second.connections).toHaveLength(0);
  });

  test("a TLS handshake that does not go on is ended by the signal", async () => {
    expect(await endBySignal((connection) => connection.untilReceivedBytes(1), "tcp", "wss:")).toEqual(
      new Error("time is up"),
    );
  });

  test("TLS settings that cannot be used fail the check", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const url = backend.url.replace("ws:", "wss:");
    expect(await outcome({ url, tls: { ca: "/nowhere/ca.crt" } }, "tcp")).toMatch(/tls: ENOENT/);
    expect(backend.connections).toHaveLength(0);
  });
});

describe.skipIf(isMissing(openssl))("TLS", () => {
  test.each(["tcp", "http", "websocket"])(
    "%s passes with the right authority, and fails without",
    async (type) => {
      const { files, ...tls } = await makeCertificates();
      const { url } = await startEchoBackend({ tls });
      expect(await outcome({ url, tls: { ca: files.ca } }, type)).toBeNull();
      expect(await outcome({ url }, type)).toMatch(/self-signed|unable to verify/);
      expect(await outcome({ url, tls: { verify: false } }, type)).toBeNull();
    },
  );

  test("the certificate must be for the name, not for the address behind it", async () => {
    const { files, ...tls } = await makeCertificates({ names: "DNS:backend.test" });
    const backend = await startEchoBackend({ tls });
    const addresses = ["127.0.0.1"];
    const url = backend.url.replace("127.0.0.1", "backend.test");
    expect(await outcome({ url, addresses, tls: { ca: files.ca } }, "http")).toBeNull();
    expect(await outcome({ url: backend.url, tls: { ca: files.ca } }, "http")).toMatch(/does not match/);
    const other = backend.url.replace("127.0.0.1", "other.test");
    expect(await outcome({ url: other, addresses, tls: { ca: files.ca } }, "http")).toMatch(/does not match/);
  });

  test("a backend without TLS fails the check of a wss URL", async () => {
    const { url } = await startEchoBackend();
    expect(await outcome({ url: url.replace("ws:", "wss:") }, "tcp")).toBeTruthy();
  });
});

describe("http", () => {
  test("asks for its path below that of the URL, with its headers, and can be recognised", async () => {
    const backend = await startEchoBackend();
    const check = { type: "http", path: "/healthz", headers: { "X-Probe": "yes", Host: "chat.example" } };
    expect(await outcome({ url: `${backend.url}/base` }, check)).toBeNull();
    const [request] = backend.requests;
    expect(request).toMatchObject({ method: "GET", url: "/base/healthz" });
    expect(request?.headers).toMatchObject({
      "user-agent": userAgent,
      "x-probe": "yes",
      host: "chat.example",
    });
  });

  test("names the backend in Host, and lets its headers replace what is usual", async () => {
    const backend = await startEchoBackend();
    const check = { type: "http", headers: { "User-Agent": "mine" } };
    expect(await outcome({ url: backend.url }, check)).toBeNull();
    expect(backend.requests[0]?.headers).toMatchObject({
      host: `127.0.0.1:${backend.port}`,
      "user-agent": "mine",
    });
  });

  test("asks another port for the path as it is", async () => {
    const [backend, health] = [await startEchoBackend(), await startEchoBackend()];
    const check = { type: "http", path: "/live", port: health.port };
    expect(await outcome({ url: `${backend.url}/base` }, check)).toBeNull();
    expect(health.requests.map(({ url }) => url)).toEqual(["/live"]);
    expect(backend.requests).toHaveLength(0);
  });

  test("works over a Unix socket", async () => {
    const unixPath = join(await temporaryFolder(), "backend.sock");
    const backend = await startEchoBackend({ unixPath });
    expect(await outcome({ url: backend.url }, "http")).toBeNull();
    expect(backend.requests[0]?.headers.host).toBe("localhost");
  });

  test.each([
    [200, undefined, null],
    [399, undefined, null],
    [404, undefined, "answered 404, expected 200-399"],
    [503, undefined, "answered 503, expected 200-399"],
    [401, "200-299, 401", null],
    [302, "200-299, 401", "answered 302, expected 200-299, 401"],
  ])("the status %i with expect %s", async (status, expected, result) => {
    const backend = await startScriptedBackend(answer({ status, body: "hello" }));
    const check = { type: "http", ...(expected === undefined ? {} : { expect: expected }) };
    expect(await outcome({ url: backend.url }, check)).toBe(result);
    await expectGone(backend);
  });

  test("a redirect is not followed", async () => {
    const elsewhere = await startEchoBackend();
    const location = `Location: ${elsewhere.url.replace("ws:", "http:")}/`;
    const { url } = await startScriptedBackend(answer({ status: 302, lines: [location] }));
    expect(await outcome({ url }, "http")).toBeNull();
    expect(elsewhere.requests).toHaveLength(0);
  });

  test.each([
    ["chunked", answer({ status: 200, body: "all is well", framing: "chunked" })],
    ["until the end", answer({ status: 200, body: "all is well", framing: "until-close" })],
    ["large", answer({ status: 200, body: "x".repeat(1_000_000) })],
    ["large and chunked", answer({ status: 200, body: "x".repeat(1_000_000), framing: "chunked" })],
  ])("a body that is %s is thrown away", async (_kind, script) => {
    const backend = await startScriptedBackend(async (connection) => {
      // The check may be gone before it has taken the whole body.
      await Promise.resolve(script(connection)).catch(() => {});
    });
    expect(await outcome({ url: backend.url }, "http")).toBeNull();
    await expectGone(backend);
  });

  test.each([
    ["garbage", answerGarbage()],
    ["a closed connection", resetAt("head")],
    ["a WebSocket that nobody asked for", accept()],
    [
      "half a head",
      async (connection) => {
        await connection.readHead();
        await connection.write("HTTP/1.1 200 OK\r\nContent-Le");
        connection.finish();
      },
    ],
    [
      "a head without an end",
      async (connection) => {
        await connection.readHead();
        await connection.write(`HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(100_000)}`).catch(() => {});
      },
    ],
  ] satisfies [string, Script][])("%s fails", async (_kind, script) => {
    const backend = await startScriptedBackend(script);
    expect(await outcome({ url: backend.url }, "http")).toBeTruthy();
    await expectGone(backend);
  });

  test.each([
    ["no answer", async (connection) => void (await connection.readHead())],
    [
      "a body that does not end",
      async (connection) => {
        await connection.readHead();
        await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      },
    ],
  ] satisfies [string, Script][])("%s is ended by the signal", async (_kind, script) => {
    expect(await endBySignal(script, "http")).toEqual(new Error("time is up"));
  });
});

describe("websocket", () => {
  test("opens, pings and closes, with its own path, headers and subprotocols", async () => {
    const backend = await startEchoBackend({ ws: { handleProtocols: () => "probe" } });
    const check = {
      type: "websocket",
      path: "/live",
      headers: { "X-Probe": "yes" },
      subprotocols: ["probe", "chat"],
    };
    expect(await outcome({ url: `${backend.url}/base` }, check)).toBeNull();
    expect(backend.upgrades[0]).toMatchObject({ url: "/base/live" });
    expect(backend.upgrades[0]?.headers).toMatchObject({
      "user-agent": userAgent,
      host: `127.0.0.1:${backend.port}`,
      "x-probe": "yes",
      "sec-websocket-protocol": "probe,chat",
    });
    expect(backend.upgrades[0]?.headers["sec-websocket-extensions"]).toBeUndefined();
    expect(await backend.close(0)).toEqual({ code: 1000, reason: "health check" });
  });

  test("works over a Unix socket", async () => {
    const unixPath = join(await temporaryFolder(), "backend.sock");
    const backend = await startEchoBackend({ unixPath });
    expect(await outcome({ url: backend.url }, "websocket")).toBeNull();
  });

  test("what the backend says by itself is no answer, and no harm", async () => {
    const backend = await startScriptedBackend(
      accept({}, async (connection) => {
        await connection.sendText("welcome");
        await connection.sendFrame({ opcode: 0xa, payload: "unasked" });
        const ping = await connection.nextFrame();
        await connection.sendFrame({ opcode: 0xa, payload: "not this" });
        await connection.sendText("soon");
        await connection.sendFrame({ opcode: 0xa, payload: ping.payload });
      }),
    );
    expect(await outcome({ url: backend.url }, "websocket")).toBeNull();
  });

  test("a backend that does not answer the Close has passed, and is left", async () => {
    const backend = await startScriptedBackend(
      accept({}, async (connection) => {
        const ping = await connection.nextFrame();
        await connection.sendFrame({ opcode: 0xa, payload: ping.payload });
      }),
      { allowHalfOpen: true },
    );
    expect(await outcome({ url: backend.url }, "websocket")).toBeNull();
    await (await backend.connection(0)).untilPeerState("fin");
  });

  test.each([
    ["404", answer({ status: 404 }), /404/],
    ["a redirect", answer({ status: 301, lines: ["Location: ws://127.0.0.1:1/"] }), /301/],
    ["a wrong accept key", accept({ accept: "AAAAAAAAAAAAAAAAAAAAAAAAAAA=" }), /Sec-WebSocket-Accept/],
    ["garbage", answerGarbage(), /./],
    ["a closed connection", resetAt("head"), /./],
    [
      "frames that are none",
      accept({ earlyBytes: Buffer.from([0xff, 0xff, 0xff]) }),
      /Invalid WebSocket frame/,
    ],
    ["an end before the pong", resetAt("accepted"), /./],
    ["a Close before the pong", accept({}, (connection) => connection.sendClose(1013)), /closed with 1013/],
  ] satisfies [string, Script, RegExp][])("%s fails", async (_kind, script, reason) => {
    const backend = await startScriptedBackend(script);
    expect(await outcome({ url: backend.url }, "websocket")).toMatch(reason);
    await expectGone(backend);
  });

  test("a backend that takes none of the subprotocols fails", async () => {
    const { url } = await startScriptedBackend(accept());
    const check = { type: "websocket", subprotocols: ["probe"] };
    expect(await outcome({ url }, check)).toBe("Server sent no subprotocol");
  });

  test.each([
    ["no answer to the upgrade", async (connection) => void (await connection.readHead())],
    ["no pong", accept({}, async (connection) => void (await connection.nextFrame()))],
  ] satisfies [string, Script][])("%s is ended by the signal", async (_kind, script) => {
    expect(await endBySignal(script, "websocket")).toEqual(new Error("time is up"));
  });
});
