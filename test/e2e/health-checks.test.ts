// Active checks as the backends see them, and what Weir makes of what they answer.
import { describe, expect, test } from "vitest";

import { packageVersion } from "../../src/version.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { ownHost } from "../support/own-host.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import {
  accept,
  acceptUpgrade,
  acceptWrongly,
  answer,
  answerGarbage,
  closeMidHead,
  neverAnswer,
  resetAt,
  type Script,
  startScriptedBackend,
} from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach } from "../support/start-in-front.ts";
import { reasonOf, stateChanges } from "../support/state-changes.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const userAgent = `weir-health-check/${packageVersion()}`;

/** The shortest interval that there is, and time enough for a busy machine. */
const often = { interval: "100ms", timeout: "30s", healthyAfter: 1, unhealthyAfter: 1 };

/** So many checks are waited for where one could be chance. */
const CHECKS = 3;

describe("a backend that is well is asked again and again", () => {
  test("tcp: connects, says nothing, and leaves with a FIN", async () => {
    const backend = await startScriptedBackend(neverAnswer());
    const weir = await startInFrontOf({ id: "a", url: backend.url }, { pool: { healthCheck: often } });
    for (let i = 0; i < CHECKS; i += 1) {
      const check = await backend.connection(i);
      expect(await check.untilClosed()).toBe("fin");
      expect(check.receivedBytes).toBe(0);
    }
    await untilMetric(weir.adminUrl, 1, "weir_backend_up", { pool: "chat", backend: "a" });
    expect(stateChanges(weir)).toEqual([]);
  });

  test("http: with its own path, headers and name, beside the requests of clients", async () => {
    const backend = await startEchoBackend();
    const healthCheck = { ...often, type: "http", path: "/healthz", headers: { "X-Probe": "yes" } };
    const entry = { id: "a", url: `${backend.url}/base` };
    const weir = await startInFrontOf(entry, { pool: { healthCheck } });
    const answered = await fetch(`${weir.httpUrl}/of-a-client`);
    expect(answered.status).toBe(200);
    const checks = await until(`${CHECKS} checks`, () => {
      const found = backend.requests.filter(({ headers }) => headers["user-agent"] === userAgent);
      return found.length >= CHECKS && found;
    });
    for (const check of checks) {
      expect(check).toMatchObject({ method: "GET", url: "/base/healthz", headers: { "x-probe": "yes" } });
    }
    expect(backend.requests.filter((request) => !checks.includes(request))).toMatchObject([
      { url: "/base/of-a-client" },
    ]);
    // Checks are no traffic.
    await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: "chat" });
    expect(stateChanges(weir)).toEqual([]);
  });

  test("websocket: a handshake of its own, a ping, and a Close that says what it was", async () => {
    const backend = await startEchoBackend({ ws: { handleProtocols: () => "probe" } });
    const healthCheck = {
      ...often,
      type: "websocket",
      path: "/live",
      headers: { "X-Probe": "yes" },
      subprotocols: ["probe", "chat"],
    };
    const weir = await startInFrontOf({ id: "a", url: backend.url }, { pool: { healthCheck } });
    for (let i = 0; i < CHECKS; i += 1) {
      expect(await backend.close(i)).toEqual({ code: 1000, reason: "health check" });
    }
    for (const check of backend.upgrades.slice(0, CHECKS)) {
      expect(check.url).toBe("/live");
      expect(check.headers).toMatchObject({
        "user-agent": userAgent,
        "x-probe": "yes",
        "sec-websocket-protocol": "probe,chat",
      });
    }
    const client = await openClient(`${weir.url}/of-a-client`, { protocols: ["probe"] });
    expect(await client.ask("hello")).toBe("hello");
    const ofClients = backend.upgrades.filter(({ headers }) => headers["user-agent"] !== userAgent);
    expect(ofClients).toMatchObject([{ url: "/of-a-client" }]);
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { backend: "a" });
    expect(stateChanges(weir)).toEqual([]);
  });
});

describe("a backend that dies is down, and up again once it is back", () => {
  test.each(["tcp", "http", "websocket"])("by a check of type %s", async (type) => {
    const first = await startEchoBackend({ id: "first", host: ownHost });
    const healthCheck = { ...often, type };
    const weir = await startInFrontOf({ id: "a", url: first.url }, { pool: { healthCheck } });
    expect((await openClient(weir.url)).backendId).toBe("first");
    await first.stop();
    expect(await reasonOf(weir, "backend down", "a")).toMatch(
      /ECONNREFUSED|ECONNRESET|socket hang up|closed/,
    );
    await untilMetric(weir.adminUrl, 0, "weir_backend_up", { backend: "a" });
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "unhealthy" });
    await startEchoBackend({ id: "second", host: ownHost, port: first.port });
    expect(await reasonOf(weir, "backend up", "a")).toBe("its health check passes");
    await untilMetric(weir.adminUrl, 1, "weir_backend_up", { backend: "a" });
    expect((await openClient(weir.url)).backendId).toBe("second");
    expect(stateChanges(weir)).toEqual([
      "a: backend down",
      "pool has no backend left that may be given work",
      "a: backend up",
      "pool has a backend again",
    ]);
  });
});

/** Bears the peer's going away: a check that has seen enough does so. */
function leniently(script: Script): Script {
  return async (connection) => {
    await Promise.resolve(script(connection)).catch(() => {});
  };
}

/** Accepts the upgrade, and answers the first frame, which is the ping. */
function answerPing(reply: (connection: RawConnection, ping: Buffer) => Promise<void>): Script {
  return async (connection) => {
    await acceptUpgrade(connection);
    await reply(connection, (await connection.nextFrame()).payload);
  };
}

type Row = readonly [what: string, script: Script, reason: RegExp];

const BAD_HTTP: readonly Row[] = [
  ["an error", answer({ status: 500, body: "broken" }), /^answered 500, expected 200-399$/],
  ["a status that is not expected", answer({ status: 404 }), /^answered 404, expected 200-399$/],
  ["garbage", answerGarbage(), /./],
  ["half a head", closeMidHead(), /./],
  ["a RST", resetAt("head"), /./],
  ["a WebSocket", accept(), /./],
];

const BAD_WEBSOCKET: readonly Row[] = [
  ["a page", answer({ status: 200, body: "hello" }), /200/],
  ["a refusal", answer({ status: 401 }), /401/],
  ["the accept value of another key", acceptWrongly(), /Sec-WebSocket-Accept/],
  ["garbage", answerGarbage(), /./],
  ["half a head", closeMidHead(), /./],
  ["a RST behind the 101", resetAt("accepted"), /./],
  ["a Close in place of the pong", answerPing((c) => c.sendClose(1013, "busy")), /^closed with 1013/],
  ["a frame that breaks the rules", answerPing((c) => c.sendFrame({ opcode: 0x3 })), /opcode/],
];

/** What hangs: nothing comes that would end the check before its time. */
const HANGING: readonly (readonly [type: string, script: Script])[] = [
  ["http", neverAnswer()],
  ["websocket", neverAnswer()],
  ["websocket", accept()],
  [
    "http",
    async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    },
  ],
  ["websocket", answerPing((connection) => connection.sendFrame({ opcode: 0xa, payload: "another" }))],
];

describe("a backend is down, and the log says why, where its check is answered with", () => {
  test.each([
    ["http", BAD_HTTP],
    ["websocket", BAD_WEBSOCKET],
  ])("what is no good answer to %s", async (type, rows) => {
    const backends = await Promise.all(
      rows.map(async ([what, script]) => ({
        id: what.replaceAll(" ", "-"),
        url: (await startScriptedBackend(leniently(script))).url,
      })),
    );
    const weir = await startInFrontOfEach(backends, { pool: { healthCheck: { ...often, type } } });
    for (const [i, { id }] of backends.entries()) {
      expect
        .soft([id, await reasonOf(weir, "backend down", id)])
        .toEqual([id, expect.stringMatching(rows[i]?.[2] ?? /never/)]);
      await untilMetric(weir.adminUrl, 0, "weir_backend_up", { pool: `case-${i}`, backend: id });
    }
    // Once each, however many checks have failed meanwhile.
    expect(stateChanges(weir).filter((change) => change.endsWith("backend down"))).toHaveLength(rows.length);
  });

  test.each(HANGING.map(([type, script], i) => [type, i, script] as const))(
    "nothing that would end it (%s, %i)",
    async (type, _i, script) => {
      const backend = await startScriptedBackend(leniently(script));
      const healthCheck = { ...often, type, timeout: "150ms" };
      const weir = await startInFrontOf({ id: "a", url: backend.url }, { pool: { healthCheck } });
      expect(await reasonOf(weir, "backend down", "a")).toBe("no result within 150 ms");
      // Each hanging check is given up, socket and all, before the next begins.
      await backend.connection(CHECKS);
      for (const check of backend.connections.slice(0, CHECKS)) await check.untilClosed();
      expect(stateChanges(weir)).toHaveLength(2);
    },
  );
});

test("where there is no check, a backend is up, whatever becomes of it", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf({ id: "a", url: backend.url });
  await backend.stop();
  await openClient(weir.url).catch(() => {});
  await untilMetric(weir.adminUrl, 1, "weir_backend_failures_total", { backend: "a", kind: "connect" });
  expect((await scrape(weir.adminUrl)).sum("weir_backend_up", { backend: "a" })).toBe(1);
  expect(stateChanges(weir)).toEqual([]);
});
