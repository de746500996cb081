// A process that is told to end while it is in the middle of something: its start, a reload, another drain. In
// the middle of a takeover: takeover-failures.test.ts.
import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { holdThread } from "../support/hold-thread.ts";
import { openRaw } from "../support/raw-client.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { type SpawnedWeir, spawnMain, writeConfig } from "../support/spawn-weir.ts";
import { openClient } from "../support/ws-client.ts";

const goodbye = { code: 1001, reason: "server shutting down" };

/** As long as a test may take: what ends before has not waited for it. */
const patient = "timeouts: { close: 60s, ping: off }\nshutdown: { timeout: 2m }";

interface Reloading {
  readonly weir: SpawnedWeir;
  /** Lets the reload go on. */
  readonly release: () => Promise<void>;
}

/** A Weir that has begun to read its configuration again, and is not done before it is let go on. */
async function spawnReloading(yaml: string): Promise<Reloading> {
  const { env, reached, release } = await holdThread("weir-load");
  const backend = await startEchoBackend();
  const file = await writeConfig(relayYaml([backend.url], `${yaml}\nreload: { watch: off }`));
  const weir = spawnMain(["run", "-c", file], env);
  await weir.untilListening(1);
  await writeFile(file, relayYaml([backend.url], `${yaml}\nlimits: { maxConnections: 1 }`));
  weir.signal("SIGHUP");
  await reached();
  return { weir, release };
}

describe("SIGTERM while the process starts", () => {
  test("lets it finish, and ends it with 0", async () => {
    const { env, reached, release } = await holdThread("weir-worker-0");
    const backend = await startEchoBackend();
    const weir = spawnMain(["run", "-c", await writeConfig(relayYaml([backend.url]))], env);
    await reached();
    weir.signal("SIGTERM");
    expect(weir.listeners).toEqual([]);
    await release();
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(weir.stderr).toBe("");
  });

  test("a second time ends it at once", async () => {
    const { env, reached } = await holdThread("weir-worker-0");
    const backend = await startEchoBackend();
    const weir = spawnMain(["run", "-c", await writeConfig(relayYaml([backend.url]))], env);
    await reached();
    // The system makes one of two that come before the first is seen.
    const signals = setInterval(() => weir.signal("SIGTERM"), 20);
    const exit = await weir.exited().finally(() => clearInterval(signals));
    expect(exit).toEqual({ code: 143, signal: null });
    expect(weir.listeners).toEqual([]);
  });
});

describe("SIGTERM during a reload", () => {
  test("says goodbye as ever, and does not wait for it", async () => {
    const { weir } = await spawnReloading("");
    const client = await openClient(weir.url);
    weir.signal("SIGTERM");
    expect(await client.closed()).toEqual(goodbye);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(weir.stdout).not.toContain("configuration reloaded");
    expect(weir.stderr).toBe("");
  });

  test("has it change nothing any more, and says so to who asked for it", async () => {
    const { weir, release } = await spawnReloading(patient);
    const clients = [await openRaw(weir.url), await openRaw(weir.url)];
    const asked = ask(`${weir.adminUrl}/api/reload`, { method: "POST" });
    weir.signal("SIGTERM");
    for (const { connection } of clients) expect(await connection.nextClose()).toEqual(goodbye);
    await release();
    const { status, body } = await asked;
    expect([status, body.toString()]).toEqual([422, expect.stringContaining("Weir is ending")]);
    for (const { connection } of clients) connection.reset();
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(weir.stdout).not.toContain("configuration reloaded");
  });
});

test("a drain that begins while the threads take a configuration over says goodbye as ever", async () => {
  const relay = await startRelay({ yaml: patient });
  const { client, backend } = await relay.open();
  let isReloaded = false;
  const { config } = relay.weir;
  const reloaded = relay.weir.reload(config).then(() => (isReloaded = true));
  const drained = relay.weir.drain();
  expect(isReloaded).toBe(false);
  expect(await client.nextClose()).toEqual(goodbye);
  expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
  client.reset();
  backend.reset();
  await Promise.all([reloaded, drained]);
});

describe("SIGTERM during the drain of a backend", () => {
  test("says goodbye to those that are still there, long before their time", async () => {
    const backend = await startEchoBackend();
    const pool = { healthCheck: "off", onRemove: { grace: "5m", spread: "5m" } };
    const config = {
      threads: 1,
      listeners: ["127.0.0.1:0"],
      admin: { bind: "127.0.0.1:0" },
      timeouts: { ping: "off" },
      pools: { chat: { ...pool, backends: [{ id: "a", url: backend.url }] } },
    };
    const weir = spawnMain(["run", "-c", await writeConfig(JSON.stringify(config))]);
    await weir.untilListening(1);
    const client = await openClient(weir.url);
    const api = `${weir.adminUrl}/api/pools/chat/backends/a`;
    expect((await ask(api, { method: "PUT", body: '{"state":"draining"}' })).status).toBe(200);
    weir.signal("SIGTERM");
    expect(await client.closed()).toEqual(goodbye);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });
});
