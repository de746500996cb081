// Clients that try to get a backend ejected: what one network brings about alone ejects nobody, whatever
// users its clients say they are, while the same from several networks does.
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { headersOf } from "../support/network-user.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import {
  accept,
  acceptUpgrade,
  neverAnswer,
  type Script,
  type ScriptedBackend,
  startScriptedBackend,
} from "../support/scripted-backend.ts";
import { startInFrontOf, timeouts } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { reasonOf, stateChanges } from "../support/state-changes.ts";
import { openClient } from "../support/ws-client.ts";

const FAILURES = "weir_backend_failures_total";

/** Far above `failures`. */
const MANY = 20;

interface Attacked {
  readonly weir: StartedWeir;
  /** Tried first, whatever the other one has. */
  readonly backend: ScriptedBackend;
  readonly other: EchoBackend;
}

/** Weir in front of a backend that plays this, and of another one. */
async function startAttacked(script: Script, config: object = {}): Promise<Attacked> {
  const backend = await startScriptedBackend(script);
  const other = await startEchoBackend({ id: "other" });
  const entries = [
    { id: "attacked", url: backend.url, weight: 1_000 },
    { id: "other", url: other.url },
  ];
  const weir = await startInFrontOf(entries, {
    pool: { outlier: { failures: 3, window: "1h", eject: "1h" } },
    config: { threads: 2, identity: { user: [{ header: "x-user-id" }] }, ...config },
  });
  return { weir, backend, other };
}

/** Does as the path of the request says: `/404` answers 404, `/garbage` no HTTP, `/silence` nothing. */
async function playPath(connection: RawConnection): Promise<void> {
  const path = (await connection.readHead()).raw.split(" ")[1] ?? "";
  if (path === "/silence") return;
  if (path === "/garbage") return connection.write("\x00 not http at all\r\n\r\n");
  await connection.write(
    `HTTP/1.1 ${path.slice(1)} Scripted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
  );
}

/** Ends the connection, without a Close, at the first frame; unless the test does before. */
async function crash(connection: RawConnection): Promise<void> {
  await acceptUpgrade(connection);
  const frame = await connection.nextFrame().catch(() => null);
  if (frame !== null) connection.reset();
}

/** Asks for this path as this user, over and over, all at once; whatever comes of it. */
async function provoke({ url }: StartedWeir, path: string, user: string, times: number): Promise<void> {
  const headers = headersOf(user);
  const opened = await Promise.all(
    Array.from({ length: times }, () => openClient(url + path, { headers }).catch(() => null)),
  );
  await Promise.all(opened.flatMap((client) => (client === null ? [] : [client.close(1000)])));
}

/** Raw connections of this user, all at once. */
async function openMany(weir: StartedWeir, user: string, times: number): Promise<RawConnection[]> {
  const lines = Object.entries(headersOf(user)).map(([name, value]) => `${name}: ${value}`);
  const opened = Array.from({ length: times }, () => openRaw(weir.url, { lines, allowHalfOpen: true }));
  return (await Promise.all(opened)).map(({ connection }) => connection);
}

/** Each backend may be given work; whether it always was is for the log to say. */
async function untilAllActive({ adminUrl }: StartedWeir): Promise<void> {
  await untilMetric(adminUrl, 2, "weir_backend_state", { state: "active" });
}

describe("by what is asked for", () => {
  const quick = timeouts({ backendHandshake: "1s" });

  test.each([400, 401, 403, 404, 426, 429, 500, 501])(
    "%i is an answer, not a failure, however many users get it",
    async (status) => {
      const { weir } = await startAttacked(playPath);
      for (const user of ["ann", "bob", "cid", "dan"]) await provoke(weir, `/${status}`, user, 5);
      const counted = { pool: "chat", result: "backend_refused" };
      await untilMetric(weir.adminUrl, MANY, "weir_upgrades_total", counted);
      await untilMetric(weir.adminUrl, 0, FAILURES);
      await untilAllActive(weir);
      expect(stateChanges(weir)).toEqual([]);
    },
  );

  test.each([
    ["/502", "status"],
    ["/503", "status"],
    ["/504", "status"],
    ["/garbage", "malformed"],
    ["/silence", "timeout"],
  ])("%s: a failure that counts once for each network", async (path, kind) => {
    const { weir } = await startAttacked(playPath, path === "/silence" ? quick : {});
    await provoke(weir, path, "mallory", MANY);
    await untilMetric(weir.adminUrl, MANY, FAILURES, { backend: "attacked", kind });
    await provoke(weir, path, "ann", 1);
    await untilMetric(weir.adminUrl, MANY + 1, FAILURES, { backend: "attacked", kind });
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);
    // A third one who meets the same makes it likely that it is the backend.
    await provoke(weir, path, "bob", 1);
    expect(await reasonOf(weir, "backend ejected", "attacked")).toBe(kind);
  });

  test("by many users of one network, who may all be one client", async () => {
    const { weir } = await startAttacked(playPath);
    for (let i = 0; i < MANY; i += 1) {
      const headers = { "x-user-id": `sock-puppet-${i}`, "x-forwarded-for": `192.0.2.${i}` };
      await (await openClient(`${weir.url}/503`, { headers })).close(1000);
    }
    await untilMetric(weir.adminUrl, MANY, FAILURES, { backend: "attacked", kind: "status" });
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);
  });

  test("what every backend answers alike is no failure of any: it is the request's own", async () => {
    const backends = await Promise.all([startScriptedBackend(playPath), startScriptedBackend(playPath)]);
    const weir = await startInFrontOf(
      backends.map(({ url }) => url),
      { pool: { outlier: { failures: 1, window: "1h", eject: "1h" } } },
    );
    for (const user of ["ann", "bob", "cid", "dan"]) await provoke(weir, "/503", user, 5);
    await untilMetric(weir.adminUrl, MANY, "weir_upgrades_total", { result: "backend_refused" });
    await untilMetric(weir.adminUrl, MANY, "weir_dial_retries_total");
    await untilMetric(weir.adminUrl, 0, FAILURES);
    expect(stateChanges(weir)).toEqual([]);
  });

  test("all of it together, by one user, and by plain requests too", async () => {
    const { weir } = await startAttacked(playPath, quick);
    const paths = ["/502", "/503", "/504", "/garbage", "/silence"];
    await Promise.all(paths.map((path) => provoke(weir, path, "mallory", 5)));
    await untilMetric(weir.adminUrl, 5 * paths.length, FAILURES, { backend: "attacked" });
    const headers = { "x-user-id": "ann" };
    const answers = await Promise.all(
      Array.from({ length: MANY }, () => ask(`${weir.httpUrl}/503`, { headers })),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 503));
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);
  });
});

describe("by ends of connections", () => {
  /** The raw clients leave closing handshakes to Weir. */
  const impatient = timeouts({ close: "50ms" });
  const lostBackend = { code: 1012, reason: "backend lost" };
  test("a client that cuts its own, in whatever way, is no loss of the backend's", async () => {
    const { weir } = await startAttacked(accept(), impatient);
    for (const user of ["ann", "bob", "cid", "dan"]) {
      const connections = await openMany(weir, user, 6);
      for (const [i, connection] of connections.entries()) {
        if (i % 3 === 0) connection.reset();
        else if (i % 3 === 1) connection.finish();
        else await connection.sendFrame({ opcode: 0x3 });
      }
    }
    await untilMetric(weir.adminUrl, 24, "weir_closes_total");
    await untilMetric(weir.adminUrl, 16, "weir_closes_total", { reason: "client_lost", by: "client" });
    await untilMetric(weir.adminUrl, 0, FAILURES);
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);
  });

  test("nor is one that leaves before it is served", async () => {
    const { weir, backend } = await startAttacked(neverAnswer());
    for (let i = 0; i < MANY; i += 1) {
      const client = await connectRaw(weir.url);
      await client.write(upgradeRequest({ lines: [`X-User-Id: user-${i}`] }));
      await (await backend.connection(i)).untilReceivedBytes(1);
      client.reset();
    }
    await untilMetric(weir.adminUrl, MANY, "weir_upgrades_total", { result: "client_gone" });
    await untilMetric(weir.adminUrl, 0, FAILURES);
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);
  });

  test("one whose messages make the backend cut its connections ejects nobody; a burst of many does", async () => {
    const { weir, backend } = await startAttacked(crash, impatient);
    const mine = await openMany(weir, "mallory", MANY);
    for (const connection of mine) await connection.sendText("crash");
    for (const connection of mine) expect(await connection.nextClose()).toEqual(lostBackend);
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: "attacked" });
    await untilMetric(weir.adminUrl, MANY, FAILURES, { backend: "attacked", kind: "lost" });
    await untilAllActive(weir);
    expect(stateChanges(weir)).toEqual([]);

    const many = Array.from({ length: MANY }, (_, i) => `user-${i}`);
    const theirs = (await Promise.all(many.map((user) => openMany(weir, user, 1)))).flat();
    for (const { socket } of backend.connections.slice(MANY)) socket.destroy();
    for (const connection of theirs) expect(await connection.nextClose()).toEqual(lostBackend);
    expect(await reasonOf(weir, "backend ejected", "attacked")).toBe("lost");
    expect((await openClient(weir.url)).backendId).toBe("other");
  });
});
