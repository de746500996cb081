// `weir reload`, as an operator gives it to a Weir that runs from a file.
import { writeFile } from "node:fs/promises";

import { expect, test } from "vitest";

import { runWeir, spawnMain, type SpawnedWeir, writeConfig } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const CONFIG = `
listeners: ["127.0.0.1:0"]
threads: 1
reload: { watch: false }
admin: { bind: "127.0.0.1:0" }
pools:
  chat: { healthCheck: off, backends: [{ id: a, url: "ws://127.0.0.1:1" }] }
`;

async function spawnFrom(file: string): Promise<SpawnedWeir> {
  const weir = spawnMain(["run", "-c", file]);
  await weir.untilListening(1);
  return weir;
}

test("weir reload says what changed, or that nothing did", async () => {
  const file = await writeConfig(CONFIG);
  const weir = await spawnFrom(file);
  const reload = ["reload", "--admin", weir.adminUrl];
  expect(await runWeir(reload)).toMatchObject({ code: 0, stdout: "nothing changed\n", stderr: "" });
  await writeFile(
    file,
    CONFIG.replace("healthCheck: off,", "healthCheck: off, retries: 1,").replace("id: a,", "id: b,"),
  );
  expect(await runWeir(reload)).toMatchObject({
    code: 0,
    stdout: "pools.chat.backends: b added, a removed\npools.chat.retries: 2 → 1\n",
  });
});

test("weir reload prints what is wrong with the file and ends with 1", async () => {
  const file = await writeConfig(CONFIG);
  const weir = await spawnFrom(file);
  await writeFile(file, CONFIG.replace("threads: 1", "threads: 2\ntreads: 3"));
  expect(await runWeir(["reload", "--admin", weir.adminUrl])).toMatchObject({
    code: 1,
    stdout: `${file}:4:1: treads: unknown key (did you mean threads?)\n`,
    stderr: "the configuration is not valid; nothing was changed\n",
  });
});

test("weir reload is refused by a Weir that was started without a file", async () => {
  const weir = await startInFrontOf("ws://127.0.0.1:1");
  expect(await runWeir(["reload", "--admin", weir.adminUrl])).toMatchObject({
    code: 1,
    stderr: `Weir at ${weir.adminUrl} refuses: there is no configuration file to read again\n`,
  });
});
