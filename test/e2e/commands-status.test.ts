// `weir status` and `weir top`, read by people and by scripts.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { runWeir, spawnMain } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

async function startBusy(config: object = {}): Promise<StartedWeir> {
  const { id, url } = await startEchoBackend({ id: "server1" });
  const weir = await startInFrontOf({ id, url, capacity: 7 }, { config: { ...config } });
  await Promise.all([openClient(weir.url), openClient(weir.url)]);
  return weir;
}

describe("weir status", () => {
  test("says what Weir does, in lines without escape codes", async () => {
    const weir = await startBusy();
    const { code, stdout, stderr } = await runWeir(["status", "--admin", weir.adminUrl]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^weir \\S+ at ${weir.adminUrl}  ready  up \\d+s\nok for \\d+s\n`));
    expect(stdout).toMatch(/^connections +\S+ 2 of [\d,]+ /m);
    expect(stdout).toMatch(
      /^pool chat  least-connections, affinity by none\n.*\n  server1 +active +2 +7 +1 /m,
    );
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  test("with --json gives what the API gives", async () => {
    const weir = await startBusy();
    const { code, stdout } = await runWeir(["status", "--json", "--admin", weir.adminUrl]);
    expect(code).toBe(0);
    const shown: unknown = JSON.parse(stdout);
    const asked: unknown = await (await fetch(`${weir.adminUrl}/api/status`)).json();
    expect(shown).toMatchObject({ connections: { open: 2 }, pools: [{ backends: [{ id: "server1" }] }] });
    expect(Object.keys(Object(shown))).toEqual(Object.keys(Object(asked)));
  });
});

describe("weir top", () => {
  test.each([[["top", "--once"]], [["top"]]])("as %j prints one frame where nobody watches", async (args) => {
    const weir = await startBusy();
    const { code, stdout, stderr } = await runWeir([...args, "--admin", weir.adminUrl], {
      env: { COLUMNS: "80" },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^connections +\S+ 2 of [\d,]+ /m);
    expect(stdout).toMatch(/^  server1 +active +2 +7 +1 /m);
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  test("needs the token, and cannot reach what is not there", async () => {
    const weir = await startBusy({ admin: { bind: "127.0.0.1:0", token: "right-token" } });
    const args = ["top", "--once", "--admin", weir.adminUrl];
    expect(await runWeir(args)).toMatchObject({
      code: 77,
      stdout: "",
      stderr: expect.stringContaining("give it by WEIR_TOKEN or --token-file FILE"),
    });
    expect(await runWeir(args, { env: { WEIR_TOKEN: "right-token" } })).toMatchObject({ code: 0 });
    expect(await runWeir(["top", "--admin", "127.0.0.1:1"])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining("cannot reach Weir at 127.0.0.1:1: connection refused"),
    });
  });

  test("ends with 69 when Weir ends before its frame is there", async () => {
    const weir = await startBusy();
    const run = spawnMain(["top", "--once", "--admin", weir.adminUrl]);
    const exited = run.exited();
    await weir.weir.close();
    expect(await exited).toMatchObject({ code: 69 });
  });
});
