// `state.file`: what a restart carries over, and a file that cannot be read or written.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { type SpawnedWeir, spawnWeir } from "../support/spawn-weir.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

interface Setup {
  readonly folder: string;
  readonly file: string;
  /** Starts Weir in front of two backends, with this state file. */
  readonly start: () => Promise<SpawnedWeir>;
}

async function setUp(): Promise<Setup> {
  const folder = await temporaryFolder();
  const file = join(folder, "state.json");
  const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  const config = {
    threads: 1,
    listeners: ["127.0.0.1:0"],
    admin: { bind: "127.0.0.1:0" },
    timeouts: { ping: "off" },
    shutdown: { spread: "0s" },
    identity: { user: [{ header: "x-user-id" }] },
    tiers: { member: { messages: { rate: "1/h", burst: 1 }, default: true } },
    limits: { onExceed: "drop", abuse: { violations: 1, window: "1m", ban: "1h" } },
    pools: {
      chat: {
        healthCheck: "off",
        balance: "round-robin",
        backends: backends.map(({ id, url }) => ({ id, url })),
      },
    },
    state: { file },
  };
  return { folder, file, start: () => spawnWeir(JSON.stringify(config)) };
}

async function stop(weir: SpawnedWeir): Promise<void> {
  weir.signal("SIGTERM");
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
}

/** Opens a connection as this user, and tells which backend it has come to. */
async function backendOf(weir: SpawnedWeir, user: string): Promise<string> {
  return (await openClient(weir.url, { headers: { "x-user-id": user } })).backendId;
}

describe("a restart", () => {
  test("keeps every user on its backend, be it connected at the shutdown or before", async () => {
    const { start } = await setUp();
    const first = await start();
    const users = ["ann", "bob", "cid", "dora", "eli"];
    const before: string[] = [];
    for (const user of users) before.push(await backendOf(first, user));
    const client = await openClient(first.url, { headers: { "x-user-id": "flo" } });
    await client.close(1000);
    await stop(first);
    const second = await start();
    await second.untilPrinted(/"affinity":6,"msg":"state restored"/);
    // Others come first, so that chance alone would send them elsewhere.
    expect(await backendOf(second, "flo")).toBe(client.backendId);
    const after: string[] = [];
    for (const user of users.toReversed()) after.unshift(await backendOf(second, user));
    expect(after).toEqual(before);
  });

  test("lifts no ban", async () => {
    const { start } = await setUp();
    const first = await start();
    const eve = { headers: { "x-user-id": "eve" } };
    const client = await openClient(first.url, eve);
    for (const text of ["passes", "dropped"]) await client.send(text);
    expect((await client.closed()).code).toBe(1008);
    await stop(first);
    const second = await start();
    const { status, body } = await expectRefusal(second.url, eve);
    expect([status, JSON.parse(body)]).toMatchObject([429, { error: "banned" }]);
    await openClient(second.url, { headers: { "x-user-id": "ann" } });
  });

  test("keeps what was set of a backend by hand", async () => {
    const { start } = await setUp();
    const first = await start();
    const settings = { state: "draining", weight: 7, capacity: 9 };
    const url = `${first.adminUrl}/api/pools/chat/backends/a`;
    expect((await ask(url, { method: "PUT", body: JSON.stringify(settings) })).status).toBe(200);
    await stop(first);
    const second = await start();
    const pools = JSON.parse((await ask(`${second.adminUrl}/api/pools`)).body.toString()) as unknown;
    expect(pools).toMatchObject({ pools: [{ backends: [{ id: "a", ...settings }, { id: "b" }] }] });
    expect(await backendOf(second, "ann")).toBe("b");
  });
});

describe("a file that cannot be", () => {
  test("read is a warning, a fresh start, and kept aside; the shutdown writes a good one", async () => {
    const { folder, file, start } = await setUp();
    await writeFile(file, "something else\n");
    const first = await start();
    await first.untilPrinted(/"level":"warn".*no state to restore/);
    await backendOf(first, "ann");
    await stop(first);
    expect((await readdir(folder)).toSorted()).toEqual(["state.json", "state.json.unreadable"]);
    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ weir: "state", version: 1 });
    const second = await start();
    await second.untilPrinted(/"affinity":1,"msg":"state restored"/);
  });

  test("written is logged, and the drain goes on", async () => {
    const { file, start } = await setUp();
    const weir = await start();
    const client = await openClient(weir.url, { headers: { "x-user-id": "ann" } });
    await rm(file, { force: true });
    await mkdir(file);
    weir.signal("SIGTERM");
    expect(await client.closed()).toEqual({ code: 1001, reason: "server shutting down" });
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(weir.stdout).toMatch(/"level":"error".*the state could not be written/);
  });
});
