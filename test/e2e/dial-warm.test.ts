// Sockets that are opened to backends ahead of need: how many, for how long, and that nobody notices when
// one of them was dead.
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { ownHost } from "../support/own-host.ts";
import { openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { isMissing } from "../support/requirement.ts";
import {
  accept,
  acceptUpgrade,
  answer,
  resetAt,
  type Script,
  type ScriptedBackend,
  startScriptedBackend,
} from "../support/scripted-backend.ts";
import { reloadInFrontOf, startInFrontOf, timeouts } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { expectRefusal } from "../support/ws-client.ts";

/** Whether a request comes on the socket before its end, which is no fault of a socket that is kept warm. */
function isAsked(connection: RawConnection): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  connection.socket.once("data", () => resolve(true));
  connection.socket.once("close", () => resolve(false));
  return promise;
}

/** Does so with the sockets that are asked for something. */
function onceAsked(script: Script): Script {
  return async (connection) => {
    if (await isAsked(connection)) await script(connection);
  };
}

const wait = onceAsked(accept());

function openSockets({ connections }: ScriptedBackend): RawConnection[] {
  return connections.filter(({ socket, peerState }) => !socket.destroyed && peerState === "open");
}

/** Those that are open and have been asked for nothing, once they are so many. */
async function untilWarm(backend: ScriptedBackend, count: number): Promise<RawConnection[]> {
  return until(`${count} warm sockets`, () => {
    const silent = openSockets(backend).filter(({ receivedBytes }) => receivedBytes === 0);
    return silent.length === count ? silent : null;
  });
}

/** Ends the first socket that is asked for something, in its way, and serves the others. */
function failFirst(end: Script): { script: Script; heads: number } {
  const state = {
    heads: 0,
    script: onceAsked(async (connection) => {
      state.heads += 1;
      if (state.heads === 1) await end(connection);
      else await acceptUpgrade(connection);
    }),
  };
  return state;
}

async function failures({ adminUrl }: StartedWeir): Promise<number> {
  const found = await scrape(adminUrl);
  return found.sum("weir_backend_failures_total") + found.sum("weir_dial_retries_total");
}

describe("warm sockets", () => {
  test("are opened ahead, silent, and taken by upgrades, which are replaced", async () => {
    const backend = await startScriptedBackend(wait);
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 3 } });
    const warm = await untilWarm(backend, 3);
    await openRaw(weir.url);
    expect(warm.filter(({ receivedBytes }) => receivedBytes > 0)).toHaveLength(1);
    await untilWarm(backend, 3);
    expect(backend.connections).toHaveLength(4);
  });

  test("carry frames both ways as others do", async () => {
    const backend = await startScriptedBackend(wait);
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 1 } });
    const [warm] = await untilWarm(backend, 1);
    const { connection } = await openRaw(weir.url);
    await connection.sendText("up");
    expect(await warm?.nextText()).toBe("up");
    await warm?.sendText("down");
    expect(await connection.nextText()).toBe("down");
  });

  test("are shared between the threads", async () => {
    const backend = await startScriptedBackend(wait);
    await startInFrontOf(backend.url, { pool: { warmConnections: 5 }, config: { threads: 2 } });
    await untilWarm(backend, 5);
    expect(backend.connections).toHaveLength(5);
  });

  test.skipIf(isMissing(openssl))("to a TLS backend have their handshake behind them", async () => {
    const { cert, key, files } = await makeCertificates();
    const backend = await startScriptedBackend(wait, { tls: { cert, key } });
    const weir = await startInFrontOf(
      { url: backend.url, tls: { ca: files.ca } },
      { pool: { warmConnections: 2 } },
    );
    // A TLS server hands a socket out once its handshake is over.
    const warm = await untilWarm(backend, 2);
    await openRaw(weir.url);
    expect(warm.filter(({ receivedBytes }) => receivedBytes > 0)).toHaveLength(1);
  });

  test("are replaced when the backend closes them", async () => {
    const backend = await startScriptedBackend(wait);
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 2 } });
    const [first, second] = await untilWarm(backend, 2);
    first?.reset();
    second?.finish();
    await until("others were opened", () => backend.connections.length === 4);
    await untilWarm(backend, 2);
    await openRaw(weir.url);
    expect(await failures(weir)).toBe(0);
  });

  test("to a backend that is not there are opened once it is", async () => {
    const gone = await startScriptedBackend(wait, { host: ownHost });
    const port = Number(new URL(gone.url).port);
    await gone.close();
    await startInFrontOf(gone.url, { pool: { warmConnections: 2 } });
    const back = await startScriptedBackend(wait, { host: ownHost, port });
    expect(await untilWarm(back, 2)).toHaveLength(2);
  });

  test("are closed where a reload takes the backend away or wants none, and no other is opened", async () => {
    const [kept, removed] = [await startScriptedBackend(wait), await startScriptedBackend(wait)];
    const options = { pool: { warmConnections: 2 } };
    const weir = await startInFrontOf([kept.url, removed.url], options);
    await untilWarm(kept, 2);
    await untilWarm(removed, 2);
    await reloadInFrontOf(weir, kept.url, options);
    await untilWarm(removed, 0);
    await reloadInFrontOf(weir, kept.url);
    await untilWarm(kept, 0);
    expect([kept.connections.length, removed.connections.length]).toEqual([2, 2]);
  });

  test("are left alone by a reload that changes nothing about them", async () => {
    const backend = await startScriptedBackend(wait);
    const options = { pool: { warmConnections: 4 } };
    const weir = await startInFrontOf(backend.url, options);
    const warm = await untilWarm(backend, 4);
    for (let i = 1; i <= 100; i++) {
      await reloadInFrontOf(weir, { url: backend.url, weight: i }, options);
    }
    expect(await untilWarm(backend, 4)).toEqual(warm);
    expect(backend.connections).toHaveLength(4);
  });

  test("are closed at a drain", async () => {
    const backend = await startScriptedBackend(wait);
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 3 } });
    await untilWarm(backend, 3);
    await weir.weir.drain();
    await untilWarm(backend, 0);
    expect(backend.connections).toHaveLength(3);
  });
});

describe("a warm socket that is dead when it is needed", () => {
  const requestTimeout = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";

  test.for<[what: string, end: Script]>([
    ["a reset", resetAt("head")],
    ["a FIN", (connection) => connection.finish()],
    ["the 408 of a server that waited too long", (connection) => connection.write(requestTimeout)],
  ])("is replaced by a fresh one of the same backend, and nothing is blamed: %s", async ([, end]) => {
    const played = failFirst(end);
    const backend = await startScriptedBackend(played.script);
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 1, retries: 0 } });
    await untilWarm(backend, 1);
    await openRaw(weir.url);
    expect(played.heads).toBe(2);
    expect(await failures(weir)).toBe(0);
  });

  test("is replaced once only", async () => {
    let heads = 0;
    const backend = await startScriptedBackend(
      onceAsked((connection) => {
        heads += 1;
        connection.reset();
      }),
    );
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 2, retries: 0 } });
    await untilWarm(backend, 2);
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 502 });
    expect(heads).toBe(2);
    await untilMetric(weir.adminUrl, 1, "weir_backend_failures_total", { kind: "malformed" });
  });

  test("is no excuse for a backend that answers, but wrongly", async () => {
    const backend = await startScriptedBackend(onceAsked(answer({ status: 404 })));
    const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 1 } });
    await untilWarm(backend, 1);
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 404 });
    expect(backend.connections.filter(({ receivedBytes }) => receivedBytes > 0)).toHaveLength(1);
  });

  test("costs no more than one backendHandshake where it says nothing", async () => {
    const backend = await startScriptedBackend(() => {});
    const weir = await startInFrontOf(backend.url, {
      pool: { warmConnections: 1, retries: 0 },
      config: timeouts({ backendHandshake: "100ms" }),
    });
    await untilWarm(backend, 1);
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 504 });
    await untilMetric(weir.adminUrl, 1, "weir_backend_failures_total", { kind: "timeout" });
    expect(backend.connections.filter(({ receivedBytes }) => receivedBytes > 0)).toHaveLength(1);
  });
});

test("upgrades far beyond the warm sockets all open", async () => {
  const backend = await startScriptedBackend(wait);
  const weir = await startInFrontOf(backend.url, { pool: { warmConnections: 5 } });
  await untilWarm(backend, 5);
  await Promise.all(Array.from({ length: 100 }, () => openRaw(weir.url)));
  await untilMetric(weir.adminUrl, 100, "weir_backend_connections", { pool: "chat" });
  expect(await failures(weir)).toBe(0);
});
