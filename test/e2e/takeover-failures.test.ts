// What goes wrong with a takeover, and what stays as it was: the old process goes on as if nothing had
// happened, nobody is signalled for having a pid, and nobody's pidFile is removed. Where one of the two hangs:
// takeover-hanging.test.ts.
import { spawn as spawnProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createSilentServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";

import { onCleanup } from "../support/cleanup.ts";
import { ask } from "../support/http-client.ts";
import { openRaw } from "../support/raw-client.ts";
import {
  addressesOf,
  expectUntouched,
  openAs,
  pidIn,
  playOldWeir,
  setUpTakeover,
  talkTo,
} from "../support/takeover.ts";
import { until } from "../support/until.ts";

const hello = { weir: "takeover", version: 1, pid: 1 };

async function occupiedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onCleanup("a server in the way", () => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("a new process that fails leaves the old one as if nothing had happened", () => {
  test.for([
    ["for its configuration", { threads: 0 }, 1, /threads/],
    ["for an address that somebody else has", "listeners", 71, /another process serves it/],
    ["for the address of its admin server", "admin", 71, /\(admin\): EADDRINUSE/],
  ] as const)("%s", async ([, mistake, code, message]) => {
    const setup = await setUpTakeover();
    const old = await setup.start();
    const before = await openAs(old, "ann");
    const addresses = addressesOf(old);
    const host = await occupiedPort();
    const config =
      mistake === "listeners"
        ? { ...addresses, listeners: [new URL(old.httpUrl).host, host] }
        : mistake === "admin"
          ? { ...addresses, admin: { bind: host } }
          : { ...addresses, ...mistake };
    const young = await setup.spawn(config, ["--takeover"]);
    expect((await young.exited()).code).toBe(code);
    expect(young.stdout + young.stderr).toMatch(message);
    await expectUntouched(setup, old, before);
  });

  test("at a Unix socket", async () => {
    const setup = await setUpTakeover();
    const host = await occupiedPort();
    const listeners = [`unix:${join(setup.folder, "weir.sock")}`];
    const old = await setup.start({ listeners });
    const young = await setup.spawn({ listeners: [...listeners, host] }, ["--takeover"]);
    expect((await young.exited()).code).toBe(71);
    await openRaw(old.url);
  });

  test("as it dies with everything in its hands", async () => {
    const setup = await setUpTakeover();
    const old = await setup.start();
    const before = await openAs(old, "ann");
    const young = await talkTo(setup.pidFile);
    young.say(hello);
    expect(await young.hearJson()).toMatchObject({ pid: old.process.pid });
    young.say("begin");
    expect(await young.hear()).toBe("yielded");
    await expect(ask(`${old.adminUrl}/healthz`)).rejects.toThrow("ECONNREFUSED");
    // It had written its pid, and opened its socket.
    await writeFile(setup.pidFile, "1\n");
    await rename(`${setup.pidFile}.sock`, `${setup.pidFile}.old`);
    young.leave();
    await old.untilPrinted(/the process that was to take over is given up/);
    await expectUntouched(setup, old, before);
  });

  test("as it dies and pidFile cannot be written any more: the admin server is back all the same", async () => {
    const setup = await setUpTakeover();
    const home = join(setup.folder, "run");
    await mkdir(home);
    const pidFile = join(home, "weir.pid");
    const old = await setup.start({ pidFile });
    const young = await talkTo(pidFile);
    young.say(hello);
    await young.hear();
    young.say("begin");
    expect(await young.hear()).toBe("yielded");
    await rename(home, join(setup.folder, "gone"));
    young.leave();
    await until("the admin server answers", async () => (await ask(`${old.adminUrl}/readyz`)).status === 200);
    await old.untilPrinted(/pidFile: .* cannot be written: ENOENT/);
    await openAs(old, "bob");
  });

  test("as it is told to end while it waits for its first health checks", async () => {
    const setup = await setUpTakeover();
    const old = await setup.start();
    const before = await openAs(old, "ann");
    // Accepts, and says nothing: the first check is not over before the test is.
    const silent = createSilentServer((socket) => void socket.on("error", () => {}).resume());
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    onCleanup("a backend that says nothing", () => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const healthCheck = { type: "http", path: "/", interval: "60s", timeout: "60s" };
    const pools = { chat: { healthCheck, backends: [`ws://127.0.0.1:${port}`] } };
    const young = await setup.spawn({ ...addressesOf(old), pools }, ["--takeover"]);
    await young.untilPrinted(/taking over from a running Weir/);
    young.signal("SIGTERM");
    expect(await young.exited()).toEqual({ code: 0, signal: null });
    expect(young.stderr).toContain(`the Weir with pid ${old.process.pid} goes on`);
    expect(old.stdout).not.toContain("another process takes over");
    await expectUntouched(setup, old, before);
  });

  test("as it is told to end while it waits for the state", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const { talk } = await playOldWeir(pidFile);
    const young = await spawn({}, ["--takeover"]);
    const old = await talk;
    await old.hear();
    old.say({ pid: process.pid, listeners: [], admin: null });
    expect(await old.hear()).toBe("begin");
    young.signal("SIGTERM");
    // It says no "done", and its pid is not in the file.
    expect(await old.hear()).toBeUndefined();
    expect(await young.exited()).toEqual({ code: 0, signal: null });
    expect(await pidIn(pidFile)).toBe(process.pid);
  });

  test("as it does not understand what it hears, or is not understood", async () => {
    const setup = await setUpTakeover();
    const old = await setup.start();
    const before = await openAs(old, "ann");
    for (const line of ["GET / HTTP/1.1", { ...hello, version: 2 }, {}]) {
      const young = await talkTo(setup.pidFile);
      young.say(line);
      expect(await young.hearJson()).toEqual({ refused: "it speaks version 1 of the takeover" });
      expect(await young.hear()).toBeUndefined();
    }
    const late = await talkTo(setup.pidFile);
    late.say(hello);
    await late.hear();
    late.say("done");
    expect(await late.hear()).toBeUndefined();
    await expectUntouched(setup, old, before);
  });

  test("where another one takes over already", async () => {
    const setup = await setUpTakeover();
    const old = await setup.start();
    const before = await openAs(old, "ann");
    const first = await talkTo(setup.pidFile);
    first.say(hello);
    await first.hear();
    const second = await setup.spawn(addressesOf(old), ["--takeover"]);
    expect((await second.exited()).code).toBe(71);
    expect(second.stdout).toContain("another process is taking over already");
    first.leave();
    await until("it can be taken over again", async () => {
      const next = await talkTo(setup.pidFile);
      next.say(hello);
      const answer = await next.hearJson();
      next.leave();
      return typeof answer === "object" && answer !== null && "pid" in answer;
    });
    await expectUntouched(setup, old, before);
  });
});

test("SIGTERM in the middle of a takeover ends the old process as ever, and its pidFile with it", async () => {
  const setup = await setUpTakeover();
  const old = await setup.start();
  const before = await openAs(old, "ann");
  const young = await talkTo(setup.pidFile);
  young.say(hello);
  await young.hear();
  young.say("begin");
  expect(await young.hear()).toBe("yielded");
  old.signal("SIGTERM");
  expect((await before.closed()).code).toBe(1001);
  expect(await old.exited()).toEqual({ code: 0, signal: null });
  expect([existsSync(setup.pidFile), existsSync(`${setup.pidFile}.sock`)]).toEqual([false, false]);
});

describe("where there is nobody to take over from, it starts as ever", () => {
  test("without a pidFile's file", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    const weir = await spawn({}, ["--takeover"]);
    await weir.untilListening(1);
    await weir.untilPrinted(/nobody to take over from/);
    expect(await pidIn(pidFile)).toBe(weir.process.pid);
    await openAs(weir, "ann");
  });

  test("after a crash, whose files are left", async () => {
    const { pidFile, start, spawn } = await setUpTakeover();
    const crashed = await start();
    crashed.signal("SIGKILL");
    await crashed.exited();
    expect([await pidIn(pidFile), existsSync(`${pidFile}.sock`)]).toEqual([crashed.process.pid, true]);
    const weir = await spawn({}, ["--takeover"]);
    await weir.untilListening(1);
    await weir.untilPrinted(new RegExp(`no Weir with pid ${crashed.process.pid} answers`));
    expect(await pidIn(pidFile)).toBe(weir.process.pid);
  });

  test("with the pid of a stranger, which is not signalled", async () => {
    const { pidFile, spawn } = await setUpTakeover();
    // Every signal that it could be sent would end it.
    const stranger = spawnProcess("sleep", ["1h"]);
    onCleanup("a stranger", () => void stranger.kill("SIGKILL"));
    await writeFile(pidFile, `${stranger.pid}\n`);
    const weir = await spawn({}, ["--takeover"]);
    await weir.untilListening(1);
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect([stranger.exitCode, stranger.signalCode]).toEqual([null, null]);
  });
});

describe("pidFile", () => {
  test("is not removed where it holds another's pid", async () => {
    const { pidFile, start } = await setUpTakeover();
    const weir = await start();
    await writeFile(pidFile, "1\n");
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(await pidIn(pidFile)).toBe(1);
  });

  test("of a running Weir is refused to a second one", async () => {
    const { pidFile, start, spawn } = await setUpTakeover();
    const weir = await start();
    const second = await spawn({});
    expect((await second.exited()).code).toBe(71);
    expect(second.stderr).toContain(`that of a running Weir (pid ${weir.process.pid})`);
    expect(await pidIn(pidFile)).toBe(weir.process.pid);
    const third = await spawn({ ...addressesOf(weir), admin: "off" });
    expect((await third.exited()).code).toBe(71);
    expect(third.stderr).toContain(new URL(weir.httpUrl).host);
  });

  test("that cannot be written is an error", async () => {
    const { folder, spawn } = await setUpTakeover();
    const pidFile = join(folder, "nowhere", "weir.pid");
    const weir = await spawn({ pidFile });
    expect((await weir.exited()).code).toBe(1);
    expect(weir.stderr).toContain(`pidFile: ${pidFile} cannot be written: ENOENT`);
  });

  test("moves with a reload", async () => {
    const { folder, pidFile, spawn } = await setUpTakeover();
    const weir = await spawn({});
    await weir.untilListening(1);
    const file = weir.process.spawnargs.at(-1) ?? "";
    const config = JSON.parse(await readFile(file, "utf8")) as object;
    const other = join(folder, "sub", "other.pid");
    await mkdir(join(folder, "sub"));
    await writeFile(file, JSON.stringify({ ...config, pidFile: other }));
    await until("the old socket is gone, the last of all", () => !existsSync(`${pidFile}.sock`));
    expect(await pidIn(other)).toBe(weir.process.pid);
    expect(existsSync(`${other}.sock`)).toBe(true);
    expect(existsSync(pidFile)).toBe(false);
  });
});

test("--takeover without a pidFile is a mistake", async () => {
  const { spawn } = await setUpTakeover();
  const weir = await spawn({ pidFile: "off" }, ["--takeover"]);
  expect((await weir.exited()).code).toBe(1);
  expect(weir.stderr).toContain("--takeover needs a pidFile");
});
