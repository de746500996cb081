// URLs that are secrets themselves, or hold some: of services that fail in every way, nothing of them stands in
// the log, whatever its level, nor in what clients are told.
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";

import { Webhook } from "../../src/control-plane/alerts/webhook.ts";
import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ownHost } from "../support/own-host.ts";
import { connectRaw, upgradeRequest } from "../support/raw-client.ts";
import { recordingLog } from "../support/recording-log.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { rsaKeys, signToken } from "../support/tokens.ts";
import { until } from "../support/until.ts";

/** Part of all that is secret. */
const FORBIDDEN = /hush/;

const KEYS = rsaKeys();

/** What a service does with a socket that has asked. */
type Failing = (socket: Socket) => void;

const answering =
  (bytes: string): Failing =>
  (socket) =>
    void socket.end(bytes);

const WAYS: readonly [how: string, scheme: "http" | "https", fail: Failing | null][] = [
  ["is not there", "http", null],
  ["resets", "http", (socket) => void socket.resetAndDestroy()],
  ["just closes", "http", answering("")],
  ["answers no HTTP", "http", answering("nonsense\r\n\r\n")],
  ["answers a head that is broken", "http", answering("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n")],
  ["answers a huge head", "http", answering(`HTTP/1.1 200 OK\r\nA: ${"x".repeat(100_000)}\r\n\r\n`)],
  ["ends amid its body", "http", answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")],
  ["answers 500", "http", answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")],
  ["switches protocols", "http", answering("HTTP/1.1 101 S\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n")],
  ["speaks no TLS", "https", answering("HTTP/1.1 200 OK\r\n\r\n")],
  ["never answers", "http", () => {}],
];

/** `http://host`, where everything fails in this way. */
async function startFailing(scheme: string, fail: Failing | null): Promise<string> {
  if (fail === null) return `${scheme}://${ownHost}:2`;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => fail(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  onCleanup("the failing service", () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `${scheme}://127.0.0.1:${port}`;
}

describe("a service that", () => {
  test.each(WAYS)(
    "%s gives nothing of the URLs of its keys and of forward auth away",
    async (...[, scheme, fail]) => {
      const base = await startFailing(scheme, fail);
      const backend = await startEchoBackend();
      const jwt = { jwksUrl: `${base}/path-hush/jwks?key=query-hush` };
      const forwardAuth = { url: `${base}/path-hush/auth?key=query-hush`, timeout: "500ms" };
      const config = {
        log: { level: "trace" },
        identity: { jwt, forwardAuth },
        routes: [{ pool: "chat", auth: "optional" }],
      };
      const weir = await startInFrontOf(backend.url, { config });
      const token = signToken({ sub: "ann" }, { algorithm: "RS256", key: KEYS.privateKey });
      const refused = () => weir.log.entries.filter(({ fields }) => fields["code"] === "auth_unavailable");
      for (const line of [`Authorization: Bearer ${token}`, "Cookie: session=1"]) {
        const before = refused().length;
        const connection = await connectRaw(weir.url);
        await connection.write(upgradeRequest({ lines: [line] }));
        expect((await connection.readToEnd()).toString()).not.toMatch(FORBIDDEN);
        await until("the refusal is logged", () => refused().length > before);
      }
      const reasons = refused().map(({ fields }) => fields["reason"]);
      expect(reasons).toEqual([
        "the keys that tokens are verified with cannot be had",
        expect.stringMatching(/^the authentication service /),
      ]);
      await weir.log.entry("the keys", ({ message }) => message.startsWith("cannot fetch the keys"));
      expect(JSON.stringify(weir.log.entries)).not.toMatch(FORBIDDEN);
    },
  );

  test.each(WAYS)("%s gives nothing of the URL of its webhook away", async (...[, scheme, fail]) => {
    const base = await startFailing(scheme, fail);
    const entries: unknown[] = [];
    const log = recordingLog((...entry) => entries.push(entry));
    const webhook = new Webhook(`${base}/services/T0/B0/path-hush?key=query-hush`, {
      log,
      timeoutMs: 500,
      retryDelaysMs: [],
    });
    onCleanup("the webhook", () => webhook.stop());
    webhook.post({ text: "hello" });
    await until("it is over", () => webhook.results.ok + webhook.results.failed === 1);
    expect(JSON.stringify(entries)).not.toMatch(FORBIDDEN);
  });
});
