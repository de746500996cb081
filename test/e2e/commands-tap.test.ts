// `weir tap`: frames as they pass, on the standard output of a process of its own.
import { describe, expect, test } from "vitest";

import type { Status } from "../../src/admin/status.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { runWeir, spawnMain, type SpawnedWeir } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

async function start(): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  const identity = { user: [{ header: "x-user" }, "ip"] };
  const routes = [{ pool: "chat", messages: { rate: "1/m", burst: 1, onExceed: "drop" } }];
  return startInFrontOf(backend.url, { config: { identity, routes } });
}

/** The command, once Weir counts its tap. */
async function startTap({ adminUrl }: StartedWeir, ...args: string[]): Promise<SpawnedWeir> {
  const tap = spawnMain(["tap", ...args, "--admin", adminUrl]);
  await untilEqual("listeners of taps", 1, async () => {
    const status = (await (await fetch(`${adminUrl}/api/status`)).json()) as Status;
    return status.tap.listeners;
  });
  return tap;
}

function openAs({ url }: StartedWeir, user: string): Promise<WsClient> {
  return openClient(url, { headers: { "X-User": user } });
}

function linesOf({ stdout }: SpawnedWeir): string[] {
  return stdout.split("\n").slice(0, -1);
}

describe("weir tap", () => {
  test("prints a line for each frame of a user, with what a limit did to it, until Ctrl-C", async () => {
    const weir = await start();
    const tap = await startTap(weir, "--user", "ann");
    const [ann, bob] = await Promise.all([openAs(weir, "ann"), openAs(weir, "bob")]);
    expect(await ann.ask("hello")).toBe("hello");
    expect(await bob.ask("not hers")).toBe("not hers");
    ann.socket.send("too much of it");
    await until("the dropped frame", () => linesOf(tap).some((line) => line.includes("dropped")));
    tap.signal("SIGINT");
    expect(await tap.exited()).toEqual({ code: 0, signal: null });
    expect(linesOf(tap).map((line) => line.replace(/^[\d:.]+Z {2}\d+-\d+ {2}/, ""))).toEqual([
      "client → backend  text                5",
      "backend → client  text                5",
      "client → backend  text               14  dropped by route:*/*",
    ]);
    expect(tap.stderr).toBe("tapping ann; Ctrl-C ends it\n3 frames, 0 lost\n");
    expect(tap.stdout + tap.stderr).not.toMatch(/hello|too much/);
  });

  test("with --json prints what the API tells, and ends with the one connection that it is on", async () => {
    const weir = await start();
    const client = await openAs(weir, "ann");
    const { id } = await until("the connection is listed", async () => {
      const answer = await fetch(`${weir.adminUrl}/api/connections`);
      return ((await answer.json()) as { connections: { id: string }[] }).connections[0];
    });
    const tap = await startTap(weir, "--connection", id, "--json");
    client.socket.close(1000);
    expect(await tap.exited()).toEqual({ code: 0, signal: null });
    expect(tap.stderr).toContain("the connection has ended; 2 frames, 0 lost");
    expect(linesOf(tap).map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { connection: id, user: "ann", direction: "client_to_backend", opcode: "close", length: 2 },
      { connection: id, direction: "backend_to_client", opcode: "close" },
    ]);
  });

  test("says what is wrong with what it is to tap, and that Weir has gone", async () => {
    const weir = await start();
    const { adminUrl } = weir;
    expect(await runWeir(["tap", "--connection", "9-9", "--admin", adminUrl])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: `Weir at ${adminUrl} refuses: no such connection\n`,
    });
    const tap = await startTap(weir, "--user", "ann");
    await weir.weir.close();
    expect(await tap.exited()).toEqual({ code: 69, signal: null });
    expect(tap.stderr).toContain(`the connection to Weir at ${adminUrl} has ended\n`);
  });
});
