// POST /api/reload: reads the file again at once, and says what changed or what is wrong with it.
import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { scrape } from "../support/metrics.ts";
import { spawnMain, type SpawnedWeir, writeConfig } from "../support/spawn-weir.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

interface OnFile {
  readonly weir: SpawnedWeir;
  readonly file: string;
  readonly client: WsClient;
}

/** One key a line, so that errors have lines of their own. The file is read at a request only. */
function configOf(backends: readonly EchoBackend[], more = ""): string {
  return `listeners: ["127.0.0.1:0"]
admin: { bind: "127.0.0.1:0" }
threads: 1
timeouts: { ping: off }
reload: { watch: off }
pools:
  chat:
    affinity: off
    healthCheck: off
    onRemove: { mode: keep }
    backends: ${JSON.stringify(backends.map(({ id, url }) => ({ id, url })))}
${more}`;
}

async function spawnOn(text: string): Promise<OnFile> {
  const file = await writeConfig(text);
  const weir = spawnMain(["run", "--config", file]);
  await weir.untilPrinted(/admin on/);
  return { weir, file, client: await openClient(weir.url) };
}

async function reload(weir: { readonly adminUrl: string }, query = "", method = "POST"): Promise<Answer> {
  const answer = await fetch(`${weir.adminUrl}/api/reload${query}`, { method });
  return { status: answer.status, body: await answer.json() };
}

async function startBackends<Ids extends string[]>(...ids: Ids): Promise<{ [K in keyof Ids]: EchoBackend }> {
  const backends = await Promise.all(ids.map((id) => startEchoBackend({ id })));
  return backends as { [K in keyof Ids]: EchoBackend };
}

async function lastReload({ adminUrl }: SpawnedWeir): Promise<number> {
  return (await scrape(adminUrl)).sum("weir_config_last_reload_successful");
}

describe("POST /api/reload", () => {
  test("takes a valid file over, however much it removes, and says what changed", async () => {
    const [a, b, c] = await startBackends("a", "b", "c");
    const { weir, file, client } = await spawnOn(configOf([a, b]));
    await writeFile(file, configOf([c], "limits: { maxConnections: 7 }"));
    expect(await reload(weir)).toEqual({
      status: 200,
      body: {
        changes: [
          { path: "limits.maxConnections", what: "auto → 7" },
          { path: "pools.chat.backends", what: "c added, a, b removed" },
        ],
        warnings: [],
      },
    });
    expect((await openClient(weir.url)).backendId).toBe("c");
    expect(await client.ask("still here")).toBe("still here");
    expect(await lastReload(weir)).toBe(1);
    expect(await reload(weir)).toEqual({ status: 200, body: { changes: [], warnings: [] } });
  });

  test("changes nothing for a file that is not valid, and says where it is wrong", async () => {
    const [a, b] = await startBackends("a", "b");
    const { weir, file, client } = await spawnOn(configOf([a]));
    await writeFile(file, configOf([b], "limits: { maxConections: 7 }\nthread: 1\n"));
    expect(await reload(weir)).toMatchObject({
      status: 422,
      body: {
        error: "invalid_config",
        errors: [
          expect.stringMatching(/weir\.yaml:12:11: limits\.maxConections: .*did you mean maxConnections/),
          expect.stringMatching(/weir\.yaml:13:1: thread: .*did you mean threads/),
        ],
      },
    });
    expect(await lastReload(weir)).toBe(0);
    await writeFile(file, configOf([a, b]).replace("127.0.0.1:0", "127.0.0.1:1"));
    expect(await reload(weir)).toMatchObject({
      status: 422,
      body: { errors: [expect.stringMatching(/weir\.yaml:\d+:\d+: listeners\[0\]\.bind: needs a restart/)] },
    });
    await writeFile(file, "pools: {");
    expect(await reload(weir)).toMatchObject({
      status: 422,
      body: { errors: [expect.stringMatching(/weir\.yaml:1:9: /)] },
    });
    expect(await client.ask("still here")).toBe("still here");
    expect((await openClient(weir.url)).backendId).toBe("a");
  });

  test("with ?dry=1 says the same, and who would have to go, and changes nothing", async () => {
    const [a, b] = await startBackends("a", "b");
    const { weir, file } = await spawnOn(configOf([a]));
    await writeFile(file, configOf([b]));
    const departure = {
      pool: "chat",
      backend: "a",
      connections: 1,
      mode: "keep",
      graceMs: 0,
      spreadMs: 30_000,
    };
    expect(await reload(weir, "?dry=1")).toEqual({
      status: 200,
      body: {
        changes: [{ path: "pools.chat.backends", what: "b added, a removed" }],
        warnings: [],
        departures: [departure],
        held: [{ pool: "chat", removed: 1, of: 1 }],
      },
    });
    expect((await openClient(weir.url)).backendId).toBe("a");
    await writeFile(file, configOf([b], "thread: 1"));
    expect(await reload(weir, "?dry=true")).toMatchObject({ status: 422 });
    await writeFile(file, configOf([b]));
    expect(await reload(weir, "?dry=yes")).toEqual({
      status: 400,
      body: { error: "bad_request", message: "dry: is 1 or 0" },
    });
    expect(await lastReload(weir)).toBe(1);
    expect(weir.stdout).not.toMatch(/reload/);
  });

  test("is for POST, and for a Weir that has a file", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    expect(await reload(weir, "", "GET")).toMatchObject({ status: 405 });
    expect(await reload(weir)).toMatchObject({ status: 409, body: { error: "no_file" } });
  });
});
