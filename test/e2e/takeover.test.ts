// `--takeover`: a new process steps into the place of a running one. What goes wrong with it, and what stays
// as it was then: takeover-failures.test.ts; without one failed connect: takeover-stream.test.ts.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { ask } from "../support/http-client.ts";
import { ownHost } from "../support/own-host.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { ConnectStream, openAs, pidIn, playOldWeir, setUpTakeover } from "../support/takeover.ts";
import { expectRefusal } from "../support/ws-client.ts";

const goodbye = { code: 1001, reason: "server shutting down" };

describe("a takeover", () => {
  test("moves addresses and pidFile to the new process; the old one says goodbye at once and exits 0", async () => {
    const { pidFile, start, takeOver } = await setUpTakeover({
      shutdown: { readyDelay: "5m", spread: "0s", timeout: "10m" },
    });
    const old = await start();
    expect(await pidIn(pidFile)).toBe(old.process.pid);
    const before = await openAs(old, "ann");
    const young = await takeOver(old, { shutdown: { spread: "0s", timeout: "2m" } });
    expect(young.listeners).toEqual(old.listeners);
    expect(young.adminUrl).toBe(old.adminUrl);
    expect(await before.closed()).toEqual(goodbye);
    const after = await openAs(young, "ann");
    expect(await old.exited()).toEqual({ code: 0, signal: null });
    expect(await pidIn(pidFile)).toBe(young.process.pid);
    expect(await after.ask("still here")).toBe("still here");
    expect((await ask(`${young.adminUrl}/readyz`)).status).toBe(200);
    expect([old.stderr, young.stderr]).toEqual(["", ""]);
    young.signal("SIGTERM");
    expect(await young.exited()).toEqual({ code: 0, signal: null });
    expect([existsSync(pidFile), existsSync(`${pidFile}.sock`)]).toEqual([false, false]);
  });

  test("can follow another", async () => {
    const { start, takeOver } = await setUpTakeover();
    const first = await start();
    const second = await takeOver(first);
    const third = await takeOver(second);
    for (const each of [first, second]) expect(await each.exited()).toEqual({ code: 0, signal: null });
    await openAs(third, "ann");
  });

  test("carries affinity, bans and what was set by hand, without a state file", async () => {
    const { start, takeOver } = await setUpTakeover({
      tiers: { member: { messages: { rate: "1/h", burst: 1 }, default: true } },
      limits: { onExceed: "drop", abuse: { violations: 1, window: "1m", ban: "1h" } },
    });
    const old = await start();
    const users = ["ann", "bob", "cid"];
    const before: string[] = [];
    for (const user of users) before.push((await openAs(old, user)).backendId);
    const eve = await openAs(old, "eve");
    for (const text of ["passes", "dropped"]) await eve.send(text);
    expect((await eve.closed()).code).toBe(1008);
    const backend = `${old.adminUrl}/api/pools/chat/backends/b`;
    expect((await ask(backend, { method: "PUT", body: '{"weight":7}' })).status).toBe(200);
    const young = await takeOver(old);
    const after: string[] = [];
    for (const user of users.toReversed()) after.unshift((await openAs(young, user)).backendId);
    expect(after).toEqual(before);
    const { status, body } = await expectRefusal(young.url, { headers: { "x-user-id": "eve" } });
    expect([status, JSON.parse(body)]).toMatchObject([429, { error: "banned" }]);
    const pools: unknown = JSON.parse((await ask(`${young.adminUrl}/api/pools`)).body.toString());
    expect(pools).toMatchObject({
      pools: [
        {
          backends: [
            { id: "a", weight: 1 },
            { id: "b", weight: 7 },
          ],
        },
      ],
    });
  });

  test("leaves the state file to the new process", async () => {
    const { folder, start, takeOver } = await setUpTakeover();
    const file = join(folder, "state.json");
    const old = await start({ state: { file } });
    await openAs(old, "ann");
    const young = await takeOver(old, { state: { file } });
    await old.exited();
    expect(existsSync(file)).toBe(false);
    young.signal("SIGTERM");
    await young.exited();
    expect(await readFile(file, "utf8")).toContain('"ann"');
  });

  test("moves Unix sockets without a moment in which nobody answers", async () => {
    const { folder, start, takeOver } = await setUpTakeover({ timeouts: { ping: "off", close: "100ms" } });
    const addresses = {
      listeners: [`unix:${join(folder, "weir.sock")}`],
      admin: { bind: `unix:${join(folder, "admin.sock")}` },
    };
    const old = await start(addresses);
    const stream = new ConnectStream(old.url, 1);
    const young = await takeOver(old, addresses);
    await old.exited();
    await stream.stop();
    expect(stream.failures).toEqual([]);
    await openRaw(young.url);
    expect(existsSync(join(folder, "admin.sock"))).toBe(true);
    young.signal("SIGTERM");
    await young.exited();
    expect(existsSync(join(folder, "weir.sock"))).toBe(false);
  });

  test("may change addresses: the new ones are probed, those of port 0 are chosen anew", async () => {
    const { start, takeOver } = await setUpTakeover();
    const old = await start();
    const young = await takeOver(old, { listeners: ["127.0.0.1:0"], admin: { bind: "127.0.0.1:0" } });
    expect(young.httpUrl).not.toBe(old.httpUrl);
    expect(await old.exited()).toEqual({ code: 0, signal: null });
    await openAs(young, "ann");
  });
});

describe("the new process", () => {
  test("admits nobody before it has the state", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const { talk } = await playOldWeir(pidFile);
    const weir = await spawn({ listeners: ["127.0.0.1:0"] }, ["--takeover"]);
    const old = await talk;
    expect(await old.hearJson()).toMatchObject({ weir: "takeover", version: 1, pid: weir.process.pid });
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    // It listens, somewhere, and says so only once it serves.
    expect(weir.listeners).toEqual([]);
    old.say("yielded");
    old.say('{"weir":"state","version":1,"savedAt":"","records":[');
    old.say(JSON.stringify({ kind: "bans", bans: [["eve", Date.now() + 3_600_000]] }));
    old.say("]}");
    expect(await old.hear()).toBe("done");
    expect(await old.hear()).toBeUndefined();
    await weir.untilListening(1);
    expect((await expectRefusal(weir.url, { headers: { "x-user-id": "eve" } })).status).toBe(429);
  });

  test("has a client that comes meanwhile wait, and judges it by that state", async () => {
    const { pidFile, start, spawn } = await setUpTakeover();
    // For its port only: nobody serves there when the other one comes.
    const other = await start({ pidFile: "off", listeners: [`${ownHost}:0`] });
    const { host } = new URL(other.httpUrl);
    other.signal("SIGTERM");
    await other.exited();
    const { talk } = await playOldWeir(pidFile);
    await spawn({ listeners: [host] }, ["--takeover"]);
    const old = await talk;
    await old.hear();
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    let isAnswered = false;
    const refused = expectRefusal(`ws://${host}`, { headers: { "x-user-id": "eve" } });
    void refused.finally(() => (isAnswered = true));
    old.say("yielded");
    old.say('{"weir":"state","version":1,"savedAt":"","records":[');
    expect(isAnswered).toBe(false);
    old.say(JSON.stringify({ kind: "bans", bans: [["eve", Date.now() + 3_600_000]] }));
    old.say("]}");
    expect((await refused).status).toBe(429);
  });

  test("waits 2 s for the state at most, and says what it lacks", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const { talk } = await playOldWeir(pidFile);
    const weir = await spawn({ listeners: ["127.0.0.1:0"] }, ["--takeover"]);
    const old = await talk;
    await old.hear();
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    old.say("yielded");
    old.say('{"weir":"state","version":1,"savedAt":"","records":[');
    old.say(JSON.stringify({ kind: "bans", bans: [["eve", Date.now() + 3_600_000]] }));
    expect(await old.hear()).toBe("done");
    await weir.untilPrinted(/"because":"it did not come in time"/);
    await weir.untilListening(1);
    expect((await expectRefusal(weir.url, { headers: { "x-user-id": "eve" } })).status).toBe(429);
    await openAs(weir, "ann");
  });
});

test("a client that the old process had accepted is served by it, also when its request comes late", async () => {
  const { start, takeOver } = await setUpTakeover();
  const old = await start();
  const late = await connectRaw(old.url);
  const takenOver = takeOver(old);
  // From here on it has two seconds.
  await old.untilPrinted(/taken over/);
  await late.write(upgradeRequest());
  expect((await late.readHead()).status).toBe(101);
  expect(await late.nextClose()).toEqual(goodbye);
  await openAs(await takenOver, "ann");
});
