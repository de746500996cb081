// Loading in a thread of its own gives what loading here gives, and a comparison with it.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig, loadConfigFile } from "../../../src/config/load.ts";
import { Loader } from "../../../src/config/loader.ts";
import type { Config } from "../../../src/config/schema.ts";
import { veil } from "../../../src/config/veil.ts";
import { temporaryFolder } from "../../support/cleanup.ts";

const TEXT = 'listeners: [":8080"]\npools: { chat: { backends: ["ws://${HOST}:1"] } }\n';

function running(): Config {
  const loaded = loadConfig({ text: TEXT, file: "weir.yaml", env: { HOST: "before" } });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

test("a valid file comes with what is new about it", async () => {
  const file = join(await temporaryFolder(), "weir.yaml");
  await writeFile(file, TEXT);
  const env = { HOST: "after" };
  expect(await new Loader().load({ file, env, running: running() })).toEqual({
    ...loadConfigFile(file, env, "run"),
    comparison: {
      changes: [{ path: "pools.chat.backends", what: "after:1 added, before:1 removed" }],
      removals: [{ pool: "chat", removed: 1, of: 1 }],
      fixedKeys: [],
    },
  });
});

test("an invalid file comes with its errors", async () => {
  const file = join(await temporaryFolder(), "weir.yaml");
  await writeFile(file, "listeners: [8080]\n");
  const reading = await new Loader().load({ file, env: {}, running: running() });
  expect(reading).toEqual(loadConfigFile(file, {}, "run"));
  expect(reading.ok).toBe(false);
});

test("a configuration that was read elsewhere is compared under its veil", async () => {
  const loaded = loadConfig({ text: TEXT, file: "weir.yaml", env: { HOST: "after" } });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  const given = veil(loaded.config, "a-salt-that-is-long-enough");
  expect(await new Loader().compare({ given, running: running() })).toEqual({
    changes: [{ path: "pools.chat.backends", what: "after:1 added, before:1 removed" }],
    removals: [{ pool: "chat", removed: 1, of: 1 }],
    fixedKeys: [],
  });
});

test("a thread that fails rejects", async () => {
  const file = join(await temporaryFolder(), "weir.yaml");
  await writeFile(file, TEXT);
  const nothing = {} as Config;
  await expect(new Loader().load({ file, env: { HOST: "a" }, running: nothing })).rejects.toThrow(TypeError);
});

test("a thread that was prepared loads once, and one that is not needed ends", async () => {
  const file = join(await temporaryFolder(), "weir.yaml");
  await writeFile(file, TEXT);
  const loader = new Loader();
  loader.prepare();
  loader.prepare();
  for (const host of ["a", "b"]) {
    const reading = await loader.load({ file, env: { HOST: host }, running: running() });
    expect(reading).toMatchObject({
      ok: true,
      config: { pools: { chat: { backends: [{ id: `${host}:1` }] } } },
    });
  }
  loader.prepare();
  loader.dismiss();
  loader.dismiss();
});
