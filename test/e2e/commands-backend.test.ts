// `weir drain` and `weir activate`, as an operator or a script gives them to a Weir that runs.
import { createServer } from "node:http";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { runWeir, spawnMain } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const keep = { onRemove: { mode: "keep", grace: "0s", spread: "0s" } };

async function startTwo(): Promise<StartedWeir> {
  const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  return startInFrontOf(
    backends.map(({ id, url }) => ({ id, url })),
    { pool: keep },
  );
}

function at(weir: StartedWeir): { env: Record<string, string> } {
  return { env: { WEIR_ADMIN: weir.adminUrl } };
}

describe("weir drain", () => {
  test("takes a backend out, and weir activate takes it back", async () => {
    const weir = await startTwo();
    expect(await runWeir(["drain", "chat/a"], at(weir))).toEqual({
      code: 0,
      signal: null,
      stdout: "chat/a gets no new work; it is empty\n",
      stderr: "",
    });
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "draining" });
    expect((await openClient(weir.url)).backendId).toBe("b");
    expect((await openClient(weir.url)).backendId).toBe("b");
    expect(await runWeir(["activate", "chat/a", "--admin", weir.adminUrl])).toEqual({
      code: 0,
      signal: null,
      stdout: "chat/a is active\n",
      stderr: "",
    });
    expect((await openClient(weir.url)).backendId).toBe("a");
  });

  test("with --wait ends when the last connection has gone", async () => {
    const weir = await startTwo();
    const clients = await Promise.all([openClient(weir.url), openClient(weir.url)]);
    const run = spawnMain(["drain", "chat/a", "--wait"], at(weir).env);
    await until("the first word", () => run.stderr.includes("1 connection is left on it"));
    expect(run.hasExited).toBe(false);
    clients.find(({ backendId }) => backendId === "a")?.socket.close();
    expect(await run.exited()).toEqual({ code: 0, signal: null });
    expect(run.stdout).toBe("chat/a is empty\n");
  });

  test("with --wait=DURATION ends with 75 when that is over, and the backend goes on draining", async () => {
    const weir = await startTwo();
    await Promise.all([openClient(weir.url), openClient(weir.url)]);
    const run = await runWeir(["drain", "chat/a", "--wait=100ms"], at(weir));
    expect(run).toMatchObject({ code: 75, stdout: "" });
    expect(run.stderr).toMatch(
      /^chat\/a gets no new work; 1 connection is left on it\nthe 100ms are over; chat\/a goes on draining\n$/,
    );
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "draining" });
  });

  test("with --wait ends with 1 when somebody activates the backend meanwhile", async () => {
    const weir = await startTwo();
    await Promise.all([openClient(weir.url), openClient(weir.url)]);
    const run = spawnMain(["drain", "chat/a", "--wait"], at(weir).env);
    await until("the first word", () => run.stderr.includes("1 connection is left on it"));
    await runWeir(["activate", "chat/a"], at(weir));
    expect(await run.exited()).toEqual({ code: 1, signal: null });
    expect(run.stderr).toContain("chat/a was activated meanwhile; 1 connection is left on it");
  });

  test("finds a backend whose id has colons and slashes", async () => {
    const socket = join(await temporaryFolder(), "b.sock");
    const weir = await startInFrontOf(["ws://[::1]:1", `unix:${socket}`]);
    for (const id of ["[::1]:1", socket]) {
      expect(await runWeir(["drain", `chat/${id}`], at(weir))).toMatchObject({ code: 0 });
      await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: id, state: "draining" });
    }
  });

  test("says which pools and backends there are, where there is none of the name", async () => {
    const weir = await startTwo();
    expect(await runWeir(["drain", "chat/server"], at(weir))).toMatchObject({
      code: 1,
      stderr: "pool chat has no backend server; it has a, b\n",
    });
    expect(await runWeir(["activate", "chta/a"], at(weir))).toMatchObject({
      code: 1,
      stderr: "there is no pool chta (did you mean chat?)\n",
    });
  });
});

describe("a command that cannot", () => {
  test("reach Weir ends with 69 and says why", async () => {
    expect(await runWeir(["reload", "--admin", "http://127.0.0.1:1"])).toMatchObject({
      code: 69,
      stdout: "",
      stderr:
        "cannot reach Weir at http://127.0.0.1:1: connection refused (does it run?); --admin URL or WEIR_ADMIN says where its admin server is\n",
    });
    expect(await runWeir(["reload", "--admin", "unix:/nowhere/weir.sock"])).toMatchObject({
      code: 69,
      stderr: expect.stringContaining("there is no such socket (does it run?)"),
    });
  });

  test("tell what answers from a Weir ends with 69", async () => {
    const server = createServer((_, response) => response.end("<html>\u001b[2J")).listen(0, "127.0.0.1");
    onCleanup("the other server", () => void server.close());
    const port = await until("a port", () => {
      const address = server.address();
      return typeof address === "object" && address !== null && address.port;
    });
    expect(await runWeir(["reload", "--admin", `127.0.0.1:${port}`])).toMatchObject({
      code: 69,
      stderr: `what answers at 127.0.0.1:${port} is no Weir, or one behind something else (status 200)\n`,
    });
  });

  test("show the token ends with 77, and with it goes through, from the environment or a file", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1", {
      config: { admin: { bind: "127.0.0.1:0", token: "right-token" } },
    });
    const { env } = at(weir);
    const drain = ["drain", "chat/127.0.0.1:1"];
    expect(await runWeir(drain, { env })).toMatchObject({
      code: 77,
      stderr: `Weir at ${weir.adminUrl} refuses: it wants its admin.token: give it by WEIR_TOKEN or --token-file FILE\n`,
    });
    expect(await runWeir([...drain, "--token", "wrong-token"], { env })).toMatchObject({
      code: 77,
      stderr: `Weir at ${weir.adminUrl} refuses: the token is not its admin.token\n`,
    });
    expect(await runWeir(drain, { env: { ...env, WEIR_TOKEN: "right-token" } })).toMatchObject({ code: 0 });
    const file = join(await temporaryFolder(), "token");
    await writeFile(file, "right-token\n");
    expect(await runWeir([...drain, "--token-file", file], { env })).toMatchObject({ code: 0 });
  });

  test("be heard under that name ends with 77", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const admin = weir.adminUrl.replace("127.0.0.1", "0.0.0.0");
    expect(await runWeir(["reload", "--admin", admin])).toMatchObject({
      code: 77,
      stderr: expect.stringContaining("the Host is neither loopback nor in admin.hosts"),
    });
  });
});

test("a command reaches an admin server on a Unix socket", async () => {
  const path = join(await temporaryFolder(), "admin.sock");
  await startInFrontOf("ws://127.0.0.1:1", { config: { admin: { bind: `unix:${path}` } } });
  expect(await runWeir(["drain", "chat/127.0.0.1:1", "--admin", `unix:${path}`])).toMatchObject({ code: 0 });
});
