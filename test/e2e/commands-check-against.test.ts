// `weir check --against`: what the running Weir says of a file that only the caller has.
import { writeFile } from "node:fs/promises";

import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { runWeir, spawnMain, type SpawnedWeir, writeConfig } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

const SECRET = "a-secret-of-the-file";

interface Pool {
  readonly backends: readonly { readonly id: string; readonly url: string }[];
  readonly onRemove?: string;
  readonly more?: string;
}

function configOf({
  backends,
  onRemove = "{ mode: drain, grace: 5s, spread: 30s }",
  more = "",
}: Pool): string {
  return `
listeners: ["127.0.0.1:0"]
threads: 1
timeouts: { ping: off }
reload: { watch: false }
admin: { bind: "127.0.0.1:0" }
routes: [{ pool: chat, headers: { set: { X-Key: "\${KEY}" } } }]
pools:
  chat:
    healthCheck: off
    affinity: off
    onRemove: ${onRemove}
    backends: ${JSON.stringify(backends)}
${more}`;
}

async function startOn(config: string): Promise<{ weir: SpawnedWeir; file: string }> {
  const file = await writeConfig(config);
  const weir = spawnMain(["run", "-c", file], { KEY: SECRET });
  await weir.untilPrinted(/admin on/);
  return { weir, file };
}

async function checkAgainst(
  weir: SpawnedWeir,
  config: string,
  key = SECRET,
): Promise<{ code: number | null; stdout: string; stderr: string; file: string }> {
  const file = await writeConfig(config, "next.yaml");
  const args = ["check", "--config", file, "--against", "--admin", weir.adminUrl];
  return { ...(await runWeir(args, { env: { KEY: key } })), file };
}

test("weir check --against says what would change and how connections would end", async () => {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
  if (a === undefined || b === undefined || c === undefined) throw new Error("no backends");
  const all = [a, b, c].map(({ id, url }) => ({ id, url }));
  const { weir, file } = await startOn(configOf({ backends: all }));
  const clients = await Promise.all(Array.from({ length: 6 }, () => openClient(weir.url)));

  expect(await checkAgainst(weir, configOf({ backends: all }))).toMatchObject({
    code: 0,
    stdout: "nothing changed\n",
    stderr: "",
  });
  expect(
    await checkAgainst(weir, configOf({ backends: all, more: "shutdown: { grace: 0s, spread: 1s }" })),
  ).toMatchObject({
    code: 0,
    stdout: "shutdown.spread: 5s → 1s\nno connection would be closed\n",
  });
  expect(await checkAgainst(weir, configOf({ backends: all.slice(2) }), "another-secret")).toMatchObject({
    code: 0,
    stdout: [
      'routes["*/*"].headers.set.x-key: changed',
      "pools.chat.backends: a, b removed",
      "chat/a: 2 connections would be closed with 1012 after 5s, over 30s",
      "chat/b: 2 connections would be closed with 1012 after 5s, over 30s",
      "chat: 2 of 3 backends would go, more than reload.maxRemoved: weir reload or SIGHUP applies it, a change of the file alone does not",
      "",
    ].join("\n"),
  });
  expect(
    (await checkAgainst(weir, configOf({ backends: all.slice(1), onRemove: "{ mode: close }" }))).stdout,
  ).toContain("chat/a: 2 connections would be closed with 1012 at once\n");
  expect(
    (await checkAgainst(weir, configOf({ backends: all.slice(1), onRemove: "{ mode: keep }" }))).stdout,
  ).toContain("chat/a: 2 connections would stay until they end by themselves\n");

  // Nothing of it has happened, and what was said of the file is what a reload of it does.
  expect(await Promise.all(clients.map(async (client) => client.ask("still here")))).toEqual(
    clients.map(() => "still here"),
  );
  await writeFile(file, configOf({ backends: all.slice(2), onRemove: "{ mode: close }" }));
  expect((await runWeir(["reload", "--admin", weir.adminUrl])).stdout).toContain("a, b removed");
  const ends = clients.filter(({ backendId }) => backendId !== "c").map(async (client) => client.closed());
  expect(await Promise.all(ends)).toEqual(ends.map(() => ({ code: 1012, reason: "backend draining" })));
});

test("weir check --against ends with 1 for a file that is wrong, or that needs a restart", async () => {
  const backends = [{ id: "a", url: "ws://127.0.0.1:1" }];
  const { weir } = await startOn(configOf({ backends }));
  const wrong = await checkAgainst(weir, configOf({ backends, more: "treads: 2" }));
  expect(wrong).toMatchObject({
    code: 1,
    stdout: `${wrong.file}:14:1: treads: unknown key (did you mean threads?)\n`,
  });
  const foreign = await checkAgainst(weir, configOf({ backends }).replace("threads: 1", "threads: 2"));
  expect(foreign).toMatchObject({ code: 1, stdout: `${foreign.file}: threads: needs a restart\n` });
});

describe("what is sent in place of a configuration", () => {
  test("is refused where it is none, too large, or another version's", async () => {
    const { weir } = await startOn(configOf({ backends: [{ id: "a", url: "ws://127.0.0.1:1" }] }));
    const salt = "a-salt-that-is-long-enough";
    const nested = `{"version":"0.1.0","salt":"${salt}","config":{"listeners":[],"admin":null,"pools":{},"x":${"[".repeat(200_000)}${"]".repeat(200_000)}}}`;
    const bodies: [body: string, status: number][] = [
      ["[]", 400],
      ["{}", 400],
      ['{"version":"0.1.0","salt":"short","config":{}}', 400],
      [`{"version":"0.1.0","salt":"${salt}","config":{"listeners":[null],"pools":{}}}`, 400],
      [`{"version":"99.0.0","salt":"${salt}","config":{}}`, 409],
      [JSON.stringify({ x: "x".repeat(8 * 1024 * 1024) }), 413],
      [nested, 422],
      ["{", 400],
    ];
    for (const [body, status] of bodies) {
      const answer = await fetch(`${weir.adminUrl}/api/reload?dry=1`, { method: "POST", body });
      expect([body.slice(0, 100), answer.status]).toEqual([body.slice(0, 100), status]);
      expect(await answer.json()).toMatchObject({ error: expect.any(String), message: expect.any(String) });
    }
    expect((await fetch(`${weir.adminUrl}/healthz`)).status).toBe(200);
  });

  test("is no use to a Weir that was started without a file", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const file = await writeConfig('{ listeners: [":1"], pools: { chat: { backends: ["ws://a"] } } }');
    expect(await runWeir(["check", "-c", file, "--against", "--admin", weir.adminUrl])).toMatchObject({
      code: 1,
      stderr: `Weir at ${weir.adminUrl} refuses: there is no configuration file to read again\n`,
    });
  });
});
