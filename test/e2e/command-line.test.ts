// The command line as a person or a process manager uses it: what is printed where, and exit codes.

import { readFile, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { startEchoBackend } from "../support/echo-backend.ts";
import { openRaw } from "../support/raw-client.ts";
import { runWeir, spawnMain, spawnWeir, writeConfig } from "../support/spawn-weir.ts";
import { openClient } from "../support/ws-client.ts";

const VALID = `
listeners: ["127.0.0.1:0"]
threads: 1
admin: { bind: "127.0.0.1:0" }
pools: { chat: { backends: ["ws://127.0.0.1:3000"] } }
`;

describe("weir check", () => {
  test("exits with 0 for a valid file", async () => {
    const file = await writeConfig(VALID);
    const run = await runWeir(["check", "--config", file]);
    expect(run).toMatchObject({ code: 0, stdout: `${file} is valid\n`, stderr: "" });
  });

  test("exits with 1 and prints every error on a line of its own", async () => {
    const file = await writeConfig(
      'listeners: [8080]\ntreads: 2\npools: { a: { backends: ["http://b"] } }\n',
    );
    const run = await runWeir(["check", "-c", file]);
    expect(run).toMatchObject({ code: 1, stderr: "" });
    expect(run.stdout.split("\n")).toEqual([
      `${file}:1:13: listeners[0]: a port alone needs a colon: write ":8080"`,
      `${file}:2:1: treads: unknown key (did you mean threads?)`,
      `${file}:3:26: pools.a.backends[0]: "http://b" must begin with ws:// (plain HTTP requests take the same way)`,
      "",
    ]);
  });

  test("prints warnings on standard error, and they do not fail", async () => {
    const file = await writeConfig(`${VALID}shutdown: { grace: 1s }\n`);
    const run = await runWeir(["check", "--config", file]);
    expect(run.code).toBe(0);
    expect(run.stderr).toContain(`${file}:6:20: warning: shutdown.grace: no route has notices.draining`);
  });

  test("fills in the environment", async () => {
    const file = await writeConfig(VALID.replace("threads: 1", 'threads: "${WEIR_TEST_THREADS}"'));
    expect(await runWeir(["check", "-c", file], { env: { WEIR_TEST_THREADS: "2" } })).toMatchObject({
      code: 0,
    });
    const missing = await runWeir(["check", "-c", file]);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toContain(
      `${file}:3:10: threads: the environment variable WEIR_TEST_THREADS is not set`,
    );
  });

  test("says of a file that it cannot read", async () => {
    expect(await runWeir(["check", "-c", "/nope/weir.yaml"])).toMatchObject({
      code: 1,
      stdout: "/nope/weir.yaml:1:1: cannot be read: no such file or directory\n",
    });
  });
});

test("weir --version prints the version of the package", async () => {
  const { version } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  expect(await runWeir(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n` });
});

test("weir --help names every command", async () => {
  const { code, stdout } = await runWeir(["--help"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/run.*--listen.*check.*demo.*schema/s);
});

test("weir schema prints a JSON Schema", async () => {
  const { code, stdout } = await runWeir(["schema"]);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    required: ["listeners", "pools"],
    additionalProperties: false,
  });
});

test("an unknown command exits with 1 and a suggestion", async () => {
  expect(await runWeir(["chekc"])).toMatchObject({
    code: 1,
    stdout: "",
    stderr: "weir: unknown command chekc (did you mean check?)\nweir --help shows what there is\n",
  });
});

describe("weir run", () => {
  test("exits with 1 and the errors of a wrong file", async () => {
    const file = await writeConfig("pools: {}\n");
    const run = await runWeir(["run", "--config", file]);
    expect(run).toMatchObject({ code: 1, stdout: "" });
    expect(run.stderr).toBe(
      `${file}:1:1: listeners: is required\n${file}:1:1: pools: names no pool, e.g. chat: { backends: ["ws://localhost:3000"] }\n`,
    );
  });

  test("exits with 71 and names the address that another process has", async () => {
    const first = await spawnWeir(VALID);
    const address = new URL(first.httpUrl).host;
    const file = await writeConfig(VALID.replace("127.0.0.1:0", address));
    const second = await runWeir(["run", "--config", file]);
    expect(second.code).toBe(71);
    expect(second.stderr).toContain(address);
  });

  test("needs no file with --listen and --to", async () => {
    const backend = await startEchoBackend();
    const weir = spawnMain(["--listen", "127.0.0.1:0", "--to", backend.url, "--admin-port", "0"]);
    await weir.untilListening(1);
    const client = await openClient(weir.url);
    await client.send("hello");
    expect(await client.nextText()).toBe("hello");
    expect(backend.upgrades).toHaveLength(1);
  });

  test("says which argument is wrong", async () => {
    expect(await runWeir(["--listen", "8080", "--to", "chat:3000"])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^--listen: a port alone needs a colon: write ":8080"\n--to: "chat:3000" is not/,
      ),
    });
  });
});

describe("signals", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("%s drains with 1001 and exits with 0", async (signal) => {
    const backend = await startEchoBackend();
    const weir = await spawnWeir(VALID.replace("ws://127.0.0.1:3000", backend.url));
    const client = await openClient(weir.url);
    weir.signal(signal);
    expect(await client.closed()).toEqual({ code: 1001, reason: "server shutting down" });
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("a second one exits at once", async () => {
    const backend = await startEchoBackend();
    const patient = "timeouts: { close: 1m }\nshutdown: { timeout: 5m }\n";
    const weir = await spawnWeir(VALID.replace("ws://127.0.0.1:3000", backend.url) + patient);
    // A client that never answers the Close keeps the drain waiting.
    await openRaw(weir.url);
    weir.signal("SIGTERM");
    await weir.untilPrinted(/"msg":"draining"/);
    weir.signal("SIGINT");
    expect(await weir.exited()).toEqual({ code: 130, signal: null });
  });

  test("SIGHUP reloads the file; a wrong one changes nothing", async () => {
    const file = await writeConfig(VALID);
    const weir = spawnMain(["run", "--config", file]);
    await weir.untilPrinted(/admin on/);
    await writeFile(file, `${VALID}limits: { maxMessageSize: 1 }\n`);
    weir.signal("SIGHUP");
    await weir.untilPrinted(/:6:27: limits\.maxMessageSize: 1 is not a size.*reload failed/s);
    await writeFile(file, `${VALID}limits: { maxMessageSize: 1KiB }\n`);
    weir.signal("SIGHUP");
    await weir.untilPrinted(/configuration reloaded/);
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });
});
